"""Slow drift: how soon it is found, how rarely without drift, and what is none."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from evergreen.monitoring.drift_slow import (
    BASELINE_DAYS,
    MATERIAL,
    RECENT_DAYS,
    slow_shifts,
)
from evergreen.monitoring.drift_summaries import summarise

DAYS = BASELINE_DAYS + RECENT_DAYS
FIRST = date(2024, 1, 1)
LAST = FIRST + timedelta(days=DAYS - 1)
RATE = 0.005


def summaries(frames) -> dict:
    return {FIRST + timedelta(days=n): summarise(rows) for n, rows in enumerate(frames)}


def levels(rng, *, sd=0.2, correlation=0.5, days=DAYS) -> np.ndarray:
    found = [rng.normal(0, sd)]
    for _ in range(days - 1):
        step = rng.normal(0, sd * np.sqrt(1 - correlation**2))
        found.append(correlation * found[-1] + step)
    return np.array(found)


def world(rng, *, ramp=0.0, rows=100, **how) -> dict:
    """Days of one number that rises by *ramp* a day during the last three weeks."""
    rise = np.maximum(np.arange(DAYS) - BASELINE_DAYS + 1, 0) * ramp
    moved = levels(rng, **how) + rise
    return summaries([pd.DataFrame({"x": rng.normal(size=rows) + one}) for one in moved])


def shifts(days, day=LAST, skip=frozenset(), rate=RATE):
    return slow_shifts(days, day, skip=set(skip), false_alarm_rate=rate)


def found_in(worlds: int, **how) -> int:
    return sum(
        any(one.is_beyond for one in shifts(world(np.random.default_rng(seed), **how)))
        for seed in range(worlds)
    )


def test_two_standard_deviations_in_a_month_are_found_within_three_weeks():
    assert found_in(40, ramp=2 / 30) >= 38


@pytest.mark.slow
def test_one_standard_deviation_in_a_month_is_found_within_three_weeks_more_often_than_not():
    assert found_in(40, ramp=1 / 30) >= 28


@pytest.mark.slow
@pytest.mark.parametrize(("correlation", "most"), [(0.0, 4), (0.5, 4), (0.8, 12)])
def test_without_drift_it_is_rare_however_one_day_resembles_the_next(correlation, most):
    """
    In 120 worlds; nominal 0.5 %. At 0.8 seven weeks are worth five independent days, too few to
    know how much they resemble each other: 5 % of days, in few long runs of which one is an alarm.
    """
    assert found_in(120, ramp=0.0, correlation=correlation) <= most


def test_a_shift_without_day_effects_that_is_too_small_to_matter_is_none():
    (largest, *_) = shifts(world(np.random.default_rng(1), ramp=0.006, sd=0.0, rows=2000))

    assert 0 < largest.recent - largest.baseline < MATERIAL
    assert abs(largest.recent - largest.baseline) > largest.limit * largest.error
    assert not largest.is_beyond


def test_the_score_of_numbers_is_the_probability_of_a_larger_row():
    rows = [pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})] * BASELINE_DAYS
    days = summaries(rows + [pd.DataFrame({"x": [10.0, 20.0]})] * RECENT_DAYS)

    (found,) = shifts(days)

    assert (found.name, found.baseline, found.recent) == ("x", 0.5, pytest.approx(1.0))


def test_categories_and_missing_values_have_their_shares():
    then = pd.DataFrame({"x": ["a"] * 6 + ["b"] * 4})
    now = pd.DataFrame({"x": ["a"] * 4 + ["b"] * 4 + [None] * 2})

    found = {one.name: one for one in shifts(summaries([then] * BASELINE_DAYS + [now] * 21))}

    assert set(found) == {"x = a", "x = b", "x: missing"}
    assert found["x: missing"].recent == pytest.approx(0.2)
    assert found["x = a"].recent == pytest.approx(0.5)
    assert found["x = a"].is_beyond


def test_weekdays_are_compared_with_themselves():
    """Weekends differ by a whole standard deviation, every week alike."""
    rng = np.random.default_rng(3)
    rows = [pd.DataFrame({"x": rng.normal(size=200) + (n % 7 > 4)}) for n in range(DAYS)]
    days = summaries(rows)

    for day in (LAST - timedelta(days=n) for n in range(7)):
        window = {d - (day - LAST): of for d, of in days.items()}
        assert not any(one.is_beyond for one in shifts(window))


def test_a_day_with_hardly_any_rows_has_no_score():
    rng = np.random.default_rng(4)
    frames = [pd.DataFrame({"x": rng.normal(size=50)}) for _ in range(DAYS)]
    frames[-1] = pd.DataFrame({"x": [100.0]})

    assert not any(one.is_beyond for one in shifts(summaries(frames)))


@pytest.mark.parametrize("lost", [range(25), range(BASELINE_DAYS, BASELINE_DAYS + 12)])
def test_too_few_days_give_no_result(lost):
    days = world(np.random.default_rng(5))
    for n in lost:
        days.pop(FIRST + timedelta(days=n))

    assert shifts(days) is None


def test_a_gap_leaves_the_rest():
    days = world(np.random.default_rng(6), ramp=0.1)
    for n in range(40, 55):
        days.pop(FIRST + timedelta(days=n))

    assert any(one.is_beyond for one in shifts(days))


def test_what_is_skipped_or_never_moves_has_no_score():
    days = summaries([pd.DataFrame({"x": [1.0] * 9, "y": [n] * 9}) for n in range(DAYS)])

    assert shifts(days, skip={"y"}) == []
    assert [one.name for one in shifts(days)] == ["y"]
