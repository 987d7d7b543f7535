"""
Measure scored days together: with the labels that are known, and by the scores alone.

A window is measured once per content of its days and of the days that calibrate its estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np

from evergreen.data.window import DayRange
from evergreen.modeling import metrics
from evergreen.monitoring.label_join import JOIN_FORMAT, JoinedDay, LabeledRows, rows_of
from evergreen.monitoring.performance_estimation import (
    MIN_CALIBRATION_ROWS,
    calibrated,
    expected_errors,
    expected_metrics,
)
from evergreen.receipts.monitoring import QualityWindow
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric, metrics_of
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, find_or_make


def measure_window(
    store: ObjectStore, spec: ModelSpec, days: Mapping[date, JoinedDay], *, last: date
) -> tuple[QualityWindow, bool]:
    """
    Return the window that ends with *last*, and whether it had to be measured.

    Safe to repeat: the same joins give the same window, which is found again.
    """
    first = last - timedelta(days=spec.quality.window_days - 1)
    span = DayRange(first=first, end=last + timedelta(days=1))
    before = DayRange(first=first - timedelta(days=spec.quality.lookback_days), end=first)
    parts = [days[d].data.sha256 for d in span if d in days]
    past = [days[d].data.sha256 for d in before if d in days]
    cache_key = digest_of(
        JOIN_FORMAT, *parts, "calibrated on", *past, str(spec.quality.min_rows), str(spec.seed)
    )

    def measure() -> QualityWindow:
        rows = rows_of(store, spec, days, span)
        known = rows_of(store, spec, days, before).labelled
        return QualityWindow(
            first=max(first, min(days)),
            last=last,
            rows=len(rows.frame),
            labelled=len(rows.labelled.frame),
            metrics=measured(rows.labelled),
            estimated=_estimated(rows, known),
            is_calibrated=len(known.frame) >= MIN_CALIBRATION_ROWS,
        )

    key = layout.quality_window(spec.model, last, cache_key)
    return find_or_make(store, key, QualityWindow, measure)


def span_of(window: QualityWindow) -> DayRange:
    """Return the days of *window*."""
    return DayRange(first=window.first, end=window.last + timedelta(days=1))


def measured(rows: LabeledRows) -> dict[str, float | None]:
    """
    Return every metric of *rows*, which all have a label.

    None for each if they are fewer than ``quality.min_rows``, or all alike.
    """
    nothing: dict[str, float | None] = dict.fromkeys(metrics_of(rows.spec.examples.problem))
    if len(rows.frame) < rows.spec.quality.min_rows:
        return nothing
    truth = rows.truth(rows.classes)
    if not truth.is_measurable:
        return nothing
    found = metrics.measure(truth, rows.predicted(rows.classes))
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def estimate_error(windows: Sequence[QualityWindow], metric: Metric) -> float | None:
    """Return the mean distance of estimates from observed values over windows that have both."""
    both = [(w.metrics[metric], w.estimated[metric]) for w in windows]
    gaps = [
        abs(actual - predicted)
        for actual, predicted in both
        if actual is not None and predicted is not None
    ]
    return float(np.mean(gaps)) if gaps else None


def _estimated(rows: LabeledRows, past: LabeledRows) -> dict[str, float | None]:
    problem = rows.spec.examples.problem
    if rows.frame.empty:
        return dict.fromkeys(metrics_of(problem))
    if problem == "regression":
        return expected_errors(past.truth(()), past.predicted(()), to=rows.predicted(()))
    classes = tuple(sorted({*rows.classes, *past.classes}))
    predicted = chances = rows.predicted(classes)
    if len(past.frame):
        size = min(len(past.frame), rows.spec.drift.sample_rows)
        some = past.frame.sample(n=size, random_state=rows.spec.seed)
        known = LabeledRows(spec=rows.spec, frame=some)
        chances = calibrated(known.truth(classes), known.predicted(classes), to=predicted)
    return dict(expected_metrics(predicted, chances, problem=problem).items())
