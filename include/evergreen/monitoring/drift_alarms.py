"""Which columns of a day lie too far from their reference, beside the days before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from evergreen.monitoring.drift_distances import MISSING, UNSEEN, column_of
from evergreen.monitoring.drift_thresholds import Threshold, thresholds
from evergreen.receipts.monitoring import DayAlarm, Finding, SlowFinding
from evergreen.spec import ModelSpec
from evergreen.spec.monitoring import Drift

#: Half of a column's worth is what it is worth to the champion; the other half it has anyway.
FAIR_SHARE = 0.5
#: The shares of the rate of false alarms that the detectors of sudden and of slow drift may use.
#: The rest is for days that resemble each other less than draws of one distribution do: on real
#: data the rate is up to twice the nominal one (docs/monitoring.md).
SUDDEN_SHARE, SLOW_SHARE = 0.4, 0.25


def alarm_of(
    day: date,
    distances: pd.Series,
    limits: Mapping[str, Threshold],
    *,
    new: Sequence[SlowFinding] = (),
) -> DayAlarm:
    """
    Return whether *day* lies beyond any of *limits*, the most surprising column first.

    :param new: Slow drift that was found on that day.
    """
    findings = [found for found in findings_of(distances, limits) if found.distance > found.limit]
    findings.sort(key=lambda found: found.share, reverse=True)
    return DayAlarm(day=day, is_known=bool(limits), findings=tuple(findings), slow=tuple(new))


def findings_of(distances: pd.Series, limits: Mapping[str, Threshold]) -> list[Finding]:
    """Return each of *distances* that has a limit, beside that limit."""
    return [
        Finding(
            name=name,
            distance=float(distances[name]),
            usual=of.usual,
            limit=of.limit,
            can_alarm=of.can_alarm,
        )
        for name, of in limits.items()
        if name in distances and pd.notna(distances[name])
    ]


def column_weights(spec: ModelSpec, importances: Mapping[str, float]) -> dict[str, float]:
    """
    Return what each watched column is worth, 1 on average.

    Half is the same for all, half goes by the spec's ``drift.weights`` or, without them, by what
    shuffling the column costs the champion.
    """
    columns = spec.drift.columns or spec.examples.features
    given = dict(spec.drift.weights) or {c: max(importances.get(c, 0.0), 0.0) for c in columns}
    total = sum(given.get(name, 0.0) for name in columns)
    if total <= 0:
        return {}
    return {
        name: FAIR_SHARE + (1 - FAIR_SHARE) * given.get(name, 0.0) / total * len(columns)
        for name in columns
    }


def limits_of(
    history: pd.DataFrame,
    drift: Drift,
    weights: Mapping[str, float],
    *,
    rows: int,
    possible: Mapping[str, float],
    by_chance: Mapping[str, float],
) -> dict[str, Threshold]:
    """
    Return the limit of each distance of a day.

    :param history: The distances of the days before it, shape ``(days, distances)``.
    :param weights: As :func:`column_weights` returns them.
    :param rows: Rows of the day.
    :param possible: The largest distances there can be, where something bounds them.
    :param by_chance: The distances that independent rows exceed once in a thousand days.
    """
    history = history.iloc[-drift.history_days :]
    size = max(min(rows, drift.sample_rows), 1)
    # Twice the greatest standard error of a share of so many rows.
    shares = [name for name in history.columns if name.endswith((MISSING, UNSEEN))]
    return thresholds(
        history,
        weights={name: weights.get(column_of(str(name)), 1.0) for name in history.columns},
        resolution=dict.fromkeys(shares, size**-0.5),
        false_alarm_rate=SUDDEN_SHARE * drift.false_alarm_rate,
        possible=possible,
        by_chance=by_chance,
    )
