"""Judge days that are at hand as frames: no store, no champion. For benches and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import pandas as pd

from evergreen.monitoring.drift_columns import comparable
from evergreen.monitoring.drift_distances import measure_pair
from evergreen.monitoring.drift_judgement import Judge, Judgement, MeasuredDay
from evergreen.monitoring.drift_samples import pair_of, reference_days
from evergreen.monitoring.drift_summaries import summarise
from evergreen.spec.monitoring import Drift


def replay_days(
    days: Mapping[date, pd.DataFrame],
    drift: Drift,
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[date, Judgement]:
    """
    Return the judgement of each of *days* that has a reference, each from the days before it.

    :param days: The monitored columns of each day, one row per event.
    :param weights: What a column is worth, 1 on average; all the same without it.
    """
    measured = measure_frames(days, drift, seed=seed)
    judge = Judge(measured, drift, weights or {})
    return {day: judge.judge(day) for day, of in measured.items() if of.distances is not None}


def measure_frames(
    days: Mapping[date, pd.DataFrame], drift: Drift, *, seed: int = 0
) -> dict[date, MeasuredDay]:
    """Return what is measured of each of *days*, oldest first."""
    samples: dict[date, pd.DataFrame] = {}
    for day in sorted(days):
        size = min(len(days[day]), drift.sample_rows)
        rows = days[day].sample(n=size, random_state=seed)
        samples[day] = comparable(rows, start=datetime.combine(day, time(), UTC))
    return {day: _measured(day, samples, drift) for day in samples}


def _measured(day: date, samples: Mapping[date, pd.DataFrame], drift: Drift) -> MeasuredDay:
    own = MeasuredDay(rows=len(samples[day]), columns=summarise(samples[day]))
    against = reference_days(day, samples, drift)
    if not against:
        return own
    reference, current = pair_of(samples.__getitem__, day, against, drift)
    found, possible, by_chance = measure_pair(reference, current)
    pair = MeasuredDay(
        rows=len(current),
        columns={},
        distances=found,
        possible=possible,
        by_chance=by_chance,
    )
    return MeasuredDay.together([own, pair], len(current))
