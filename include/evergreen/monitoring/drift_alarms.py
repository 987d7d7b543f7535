"""Which columns of a day lie too far from their reference, beside the days before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pandas as pd

from evergreen.monitoring.drift_distances import (
    MISSING,
    SPREAD,
    UNSEEN,
    watched_columns,
)
from evergreen.monitoring.drift_thresholds import Threshold, thresholds
from evergreen.receipts.monitoring import DayAlarm, Finding
from evergreen.spec import ModelSpec

#: Half of a column's worth is what it is worth to the champion; the other half it has anyway.
FAIR_SHARE = 0.5


def alarm_of(day: date, distances: pd.Series, limits: Mapping[str, Threshold]) -> DayAlarm:
    """Return whether *day* lies beyond any of *limits*, the most surprising column first."""
    findings = [found for found in findings_of(distances, limits) if found.distance > found.limit]
    findings.sort(key=lambda found: found.share, reverse=True)
    return DayAlarm(day=day, is_known=bool(limits), findings=tuple(findings))


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
    columns = watched_columns(spec)
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
    spec: ModelSpec,
    weights: Mapping[str, float],
    *,
    rows: int,
    possible: Mapping[str, float],
) -> dict[str, Threshold]:
    """
    Return the limit of each distance of a day.

    :param history: The distances of the days before it, shape ``(days, distances)``.
    :param weights: As :func:`column_weights` returns them.
    :param rows: Rows of the day.
    :param possible: The largest distances there can be, where something bounds them.
    """
    history = history.iloc[-spec.drift.history_days :]
    size = min(rows, spec.drift.sample_rows)
    # Twice the greatest standard error of a share of so many rows.
    shares = [name for name in history.columns if name.endswith((MISSING, UNSEEN))]
    return thresholds(
        history,
        weights={name: weights.get(_column_of(name), 1.0) for name in history.columns},
        resolution=dict.fromkeys(shares, size**-0.5),
        false_alarm_rate=spec.drift.false_alarm_rate,
        possible=possible,
    )


def _column_of(distance: str) -> str:
    return distance.removesuffix(MISSING).removesuffix(UNSEEN).removesuffix(SPREAD)
