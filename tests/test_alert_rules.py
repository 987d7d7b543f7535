"""The rule for models that are not watched, on series as Prometheus would have them."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT

HOUR = 3600
METRIC = "evergreen_model_monitored_timestamp_seconds"
RULE = next(
    rule
    for group in yaml.safe_load((ROOT / "include/deploy/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if rule["alert"] == "ModelIsNotWatched"
)
FORM = (
    rf"\(time\(\) - max by \(model\) \({METRIC}\) > (\d+) \* 3600\)\s+and on \(model\) "
    rf"max by \(model\) \(last_over_time\({METRIC}\[(\d+)h\] offset (\d+)h\)\)"
)
#: One look each five minutes is as good as one each thirty seconds.
STEP = 300
#: Series that are generated: models that are watched at any instants, or never.
SERIES = 300


def fires(samples: dict[int, float], *, until: int) -> list[int]:
    """
    Return when the alert fires for one model.

    :param samples: The gauge by the time of its sample, in seconds, one each STEP.
    """
    found = re.fullmatch(FORM, RULE["expr"].strip())
    assert found, f"the rule has another form, which this test cannot evaluate: {RULE['expr']}"
    limit, width, offset = (int(hours) * HOUR for hours in found.groups())
    lasts = int(RULE["for"].removesuffix("h")) * HOUR
    fired, true_since = [], None
    for now in range(0, until, STEP):
        value = samples.get(now)
        before = [
            samples.get(at) for at in range(now - offset - width + STEP, now - offset + STEP, STEP)
        ]
        is_old = value is not None and now - value > limit
        is_true = is_old and any(one is not None for one in before)
        true_since = (now if true_since is None else true_since) if is_true else None
        if true_since is not None and now - true_since >= lasts:
            fired.append(now)
    return fired


def gauge(start: int, end: int, watched: list[int]) -> dict[int, float]:
    """Return what a server says from *start* to *end*: the newest instant of *watched*, or 0."""
    return {
        now: float(max((at for at in watched if at <= now), default=0))
        for now in range(start, end, STEP)
    }


def test_it_is_for_each_model():
    assert RULE["for"] == "1h"
    assert "{{ $labels.model }}" in RULE["annotations"]["summary"]


def test_a_fresh_install_is_not_alerted_at_once_and_a_model_never_watched_is_after_a_day():
    start, end = 1_000 * HOUR, 1_040 * HOUR

    fired = fires(gauge(start, end, []), until=end)

    assert 26 * HOUR <= fired[0] - start <= 28 * HOUR


def test_a_model_watched_every_day_is_never_alerted():
    start, end = 1_000 * HOUR, 1_200 * HOUR
    daily = list(range(start - 5 * HOUR, end, 24 * HOUR))

    assert fires(gauge(start, end, daily), until=end) == []


@pytest.mark.parametrize("late", [27, 30, 60])
def test_one_that_stops_is_alerted_27_hours_after_its_last_record(late):
    start = 1_000 * HOUR
    last, end = start + 48 * HOUR, start + (48 + late + 2) * HOUR
    fired = fires(gauge(start, end, [start, start + 24 * HOUR, last]), until=end)

    assert 27 * HOUR <= fired[0] - last <= 27 * HOUR + 2 * STEP


def test_a_server_that_was_away_for_less_than_the_window_does_not_reset_it():
    start, end = 1_000 * HOUR, 1_040 * HOUR
    samples = gauge(start, end, [start - HOUR])
    for at in range(start + 10 * HOUR, start + 10 * HOUR + HOUR // 2, STEP):
        del samples[at]

    assert fires(samples, until=end)


@settings(max_examples=SERIES, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=6), st.integers(0, 40))
def test_of_any_instants_it_fires_if_and_only_if_a_gap_is_longer_than_27_hours(hours, known):
    start, end = 1_000 * HOUR, 1_100 * HOUR
    known_from = start + known * HOUR
    watched = sorted(start + hour * HOUR for hour in hours)

    fired = fires(gauge(known_from, end, watched), until=end)

    def expected(now: int) -> bool:
        last = max((at for at in watched if at <= now), default=0)
        # True for an hour without a break: since the last record, and since it was known.
        return now - last > 27 * HOUR + STEP and now - known_from > 28 * HOUR + STEP

    def possible(now: int) -> bool:
        last = max((at for at in watched if at <= now), default=0)
        return now - last > 27 * HOUR - STEP and now - known_from >= 26 * HOUR

    assert all(possible(now) for now in fired)
    assert {now for now in range(known_from, end, STEP) if expected(now)} <= set(fired)
