from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evergreen.data.window import DayRange, scoring_day, start_of, training_window
from evergreen.errors import AsOfError
from evergreen.spec.data import WindowSpec

instants = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


@st.composite
def specs(draw) -> WindowSpec:
    gap, validation = draw(st.integers(0, 5)), draw(st.integers(1, 10))
    delay = draw(st.integers(0, 30))
    return WindowSpec(
        train_days=validation + gap + delay + draw(st.integers(1, 100)),
        validation_days=validation,
        gap_days=gap,
        test_days=draw(st.integers(1, 14)),
        label_delay_days=delay,
    )


@given(as_of=instants, spec=specs())
def test_no_day_is_partly_in_the_future(as_of, spec):
    window = training_window(as_of, spec)

    assert start_of(window.test.end) <= as_of - timedelta(days=spec.label_delay_days)


@given(as_of=instants, spec=specs())
def test_segments_follow_each_other_with_the_gap_between(as_of, spec):
    window = training_window(as_of, spec)

    between = spec.gap_days + spec.label_delay_days
    assert (window.validation.first - window.fit.end).days == between
    assert (window.test.first - window.validation.end).days == between
    assert len(window.train) == spec.train_days
    assert len(window.validation) == spec.validation_days
    assert len(window.test) == spec.test_days


@given(as_of=instants, spec=specs())
def test_the_newest_label_is_as_old_on_the_test_days_as_in_service(as_of, spec):
    """A label of the last training day is known after its delay, before the test days begin."""
    window = training_window(as_of, spec)

    delay = timedelta(days=spec.label_delay_days)
    assert start_of(window.validation.end) + delay <= start_of(window.test.first)
    assert start_of(window.fit.end) + delay <= start_of(window.validation.first)


@given(as_of=instants, spec=specs())
def test_the_same_instant_in_another_zone_gives_the_same_days(as_of, spec):
    elsewhere = as_of.astimezone(timezone(timedelta(hours=-9)))

    assert training_window(elsewhere, spec).days == training_window(as_of, spec).days


def test_an_example_by_hand():
    spec = WindowSpec(train_days=10, validation_days=3, gap_days=1, test_days=2)

    window = training_window(datetime(2013, 3, 21, 6, tzinfo=UTC), spec)

    assert window.test == DayRange(first=date(2013, 3, 19), end=date(2013, 3, 21))
    assert window.validation == DayRange(first=date(2013, 3, 15), end=date(2013, 3, 18))
    assert window.fit == DayRange(first=date(2013, 3, 8), end=date(2013, 3, 14))


def test_a_window_without_days_is_refused():
    with pytest.raises(ValidationError, match="leaves 0 days to fit on"):
        WindowSpec(train_days=8, validation_days=7, gap_days=1)
    with pytest.raises(ValidationError, match="label_delay_days 30 leaves -8 days to fit on"):
        WindowSpec(train_days=30, validation_days=7, gap_days=1, label_delay_days=30)


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(AsOfError, match="no time zone"):
        training_window(datetime(2013, 3, 21), WindowSpec())  # noqa: DTZ001


def test_score_answers_for_the_day_that_is_over():
    assert scoring_day(datetime(2013, 3, 21, 6, tzinfo=UTC)) == date(2013, 3, 20)
    assert scoring_day(datetime(2013, 3, 21, tzinfo=UTC)) == date(2013, 3, 20)
