"""Days at hand as frames are judged as detect_drift judges them; rates on generated columns."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bench.drift_decisions import holidays, ordinary_days
from tests.support.datasets import bike_rentals
from tests.support.drift_worlds import calendar_days

from evergreen.monitoring.drift_judgement import Judge
from evergreen.monitoring.drift_replay import measure_frames, replay_days
from evergreen.spec.monitoring import Drift

FIRST = date(2023, 1, 2)
DRIFT = Drift()
#: The first day with 60 days of history.
FULL = 28 + 60


def dated(frames) -> dict[date, pd.DataFrame]:
    return {FIRST + timedelta(days=n): rows for n, rows in enumerate(frames)}


def steady(days: int, *, rows: int = 40, seed: int = 0) -> list[pd.DataFrame]:
    rng = np.random.default_rng(seed)
    return [
        pd.DataFrame({"a": rng.normal(size=rows) + rng.normal(0, 0.1), "b": rng.random(rows)})
        for _ in range(days)
    ]


#: Steady columns alone, and the limits of their last day.
STEADY = steady(FULL + 1)


@pytest.fixture(scope="module")
def alone() -> dict[str, float]:
    measured = measure_frames(dated(STEADY), DRIFT)
    found = Judge(measured, DRIFT, {}).judge(max(measured))
    return {one.name: one.limit for one in found.columns}


def calendar(kind: str, share: float, size: float, rng) -> list[float | str | np.ndarray]:
    """A column of each day: what calendars, campaigns and clocks do."""
    days, rows = len(STEADY), len(STEADY[0])
    on = rng.random(days) < share
    period = max(int(1 / share), 2)
    return {
        "flag": list(np.where(on, size, 0.0)),
        "spells": [size * (n // period % 2) for n in range(days)],
        "text": [f"season {n // period}" for n in range(days)],
        "count": [float(n) for n in range(days)],
        "month": [float(n // 30 % 12 + 1) for n in range(days)],
        "clock": [np.arange(rows) % 24 for _ in range(days)],
        "rare rows": [(rng.random(rows) < share / 10) * size for _ in range(days)],
        "burst": [rng.random(rows) * size * one for one in on],
        "nulls": [np.where(rng.random(rows) < 0.5 * one, np.nan, 1.0) for one in on],
        "ids": [np.array([f"id {n}-{k}" for k in range(rows)]) for n in range(days)],
    }[kind]


KINDS = (
    "flag",
    "spells",
    "text",
    "count",
    "month",
    "clock",
    "rare rows",
    "burst",
    "nulls",
    "ids",
)


@pytest.mark.slow
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5),
    share=st.sampled_from([0.03, 0.06, 0.09, 0.15, 0.3, 0.5]),
    size=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 10_000),
)
def test_no_columns_of_the_calendar_set_the_limits_of_the_others(alone, kinds, share, size, seed):
    rng = np.random.default_rng(seed)
    columns = [calendar(kind, share, size, rng) for kind in kinds]
    days = [
        rows.assign(**{f"c{k}": column[n] for k, column in enumerate(columns)})
        for n, rows in enumerate(STEADY)
    ]

    measured = measure_frames(dated(days), DRIFT)
    found = Judge(measured, DRIFT, {}).judge(max(measured))

    limits = {one.name: one.limit for one in found.columns}
    assert max(limits[name] / alone[name] for name in alone) < 2.5
    assert all(one.can_alarm for one in found.columns if one.name in ("a", "b"))
    for one in found.columns:
        assert one.can_alarm or one.distance <= one.limit


def test_a_replay_of_part_of_the_days_is_the_same():
    days = dated(steady(FULL + 8, seed=3, rows=20))
    last = max(days)
    reach = {day: rows for day, rows in days.items() if (last - day).days <= FULL + 4}

    assert replay_days(days, DRIFT)[last] == replay_days(reach, DRIFT)[last]


def test_a_constant_with_noise_of_floating_point_is_quiet_and_another_value_is_an_alarm():
    rng = np.random.default_rng(1)
    days = [rows.assign(k=5 + rng.normal(size=len(rows)) * 1e-12) for rows in STEADY]
    measured = measure_frames(dated(days), DRIFT)
    judge = Judge(measured, DRIFT, {})
    assert not judge.judge(max(measured)).alarm.is_alarm

    days[-1] = days[-1].assign(k=6.0)
    measured = measure_frames(dated(days), DRIFT)
    alarm = Judge(measured, DRIFT, {}).judge(max(measured)).alarm
    assert [one.name for one in alarm.findings] == ["k"]


def test_one_number_that_is_too_large_is_an_alarm_by_its_name():
    days = [rows.copy() for rows in STEADY]
    days[-1].loc[0, "a"] = np.finfo(float).max
    measured = measure_frames(dated(days), DRIFT)

    alarm = Judge(measured, DRIFT, {}).judge(max(measured)).alarm

    assert [one.name for one in alarm.findings] == ["a: infinite or too large"]


@pytest.mark.slow
def test_ordinary_days_of_small_days_with_a_calendar_are_quiet():
    """20 rows a day, ten columns: at most 3 % alarms; 92 days are judged."""
    found = ordinary_days("calendar", calendar_days(11, days=180), set())

    assert (
        next(one for one in found if one.decision == "alarm on an ordinary day").interval[0] <= 0.03
    )


@pytest.mark.slow
def test_ordinary_days_of_bike_rentals_are_quiet():
    """112 days of winter and spring: 24 rows, each hour once, season, holiday, weather."""
    days = {day.date(): rows for day, rows in list(bike_rentals().by_day().items())[:200]}
    found = {one.decision: one for one in ordinary_days("bikes", days, holidays("bikes"))}

    assert found["alarm on an ordinary day"].interval[0] <= 0.03
    assert found["retrain requested on an ordinary day"].interval[0] <= 0.01
