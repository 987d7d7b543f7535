"""
Whether a version is worse in service than on the test days that made it champion.

The metric alone moves with the level of the label, so its gain over the best constant answer is
compared. Days are the unit: rows of one day depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evergreen.modeling import metrics
from evergreen.modeling.baselines import best_constant
from evergreen.modeling.calibration_gate import (
    CalibrationInputs,
    calibration_check,
    frequency_check,
)
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.monitoring.label_join import JoinedDay, LabeledRows
from evergreen.monitoring.quality_windows import span_of
from evergreen.receipts.common import Check
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.monitoring import Decline, QualityWindow
from evergreen.registry import mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.storage.records import load_document
from evergreen.workspace import Workspace

#: With fewer labelled days than this nothing is compared.
MIN_DAYS = 3
#: How often a version that is as good as on its test days is shown to be worse.
LEVEL = 0.01


def evaluation_of_version(workspace: Workspace, number: str) -> EvaluationReceipt | None:
    """Return the evaluation that version *number* was registered with; None if it is gone."""
    version = mlflow_registry.find_version(workspace.client, workspace.spec.model, number)
    if version is None:
        return None
    record = mlflow_registry.tag(version, mlflow_registry.TAG_EVALUATION)
    return load_document(workspace.store, record, EvaluationReceipt)


def measure_decline(
    workspace: Workspace, days: Mapping[date, JoinedDay], window: QualityWindow, scored: LabeledRows
) -> Decline | None:
    """
    Compare the newest version of *window* with what it reached on its own test days.

    :param scored: The rows of the days of *window*, oldest day first, as
        :func:`~evergreen.monitoring.label_join.rows_of` returns them.
    :return: None if there are fewer than ``quality.min_rows`` rows with a label or three days of
        that version, or its evaluation is gone.
    """
    inside = [days[d] for d in span_of(window) if d in days]
    version = inside[-1].version
    judged = evaluation_of_version(workspace, version)
    promised = skill_on_test_days(judged, workspace.spec.metric) if judged else None
    if promised is None:
        return None
    day_of_row = np.repeat(np.arange(len(inside)), [one.rows for one in inside])
    is_its = np.array([one.version == version for one in inside])[day_of_row]
    known = is_its & scored.frame["label"].notna().to_numpy()
    rows = LabeledRows(spec=workspace.spec, frame=scored.frame[known])
    return decline_of(
        workspace.spec,
        rows.truth(scored.classes),
        rows.predicted(scored.classes),
        day_of_row[known],
        version=version,
        on_test_days=promised,
    )


def decline_of(
    spec: ModelSpec,
    truth: Labels,
    predicted: Predictions,
    days: NDArray[np.int64],
    *,
    version: str,
    on_test_days: float,
) -> Decline | None:
    """
    Compare the gain over a constant answer in service with the one on the test days.

    :param days: Shape ``(rows,)``; the number of the day of each row.
    :param on_test_days: As :func:`skill_on_test_days` returns it.
    :return: None if it cannot be measured: too few rows or days, or labels that are all alike.
    """
    count = len(np.unique(days))
    if len(truth) < spec.quality.min_rows or count < MIN_DAYS or not truth.is_measurable:
        return None
    found, error = skill_and_error(truth, predicted, days, metric=spec.metric)
    # The test days are as uncertain, day by day, as these.
    error *= math.sqrt(1 + count / spec.window.test_days)
    lower = on_test_days - found - float(stats.t.ppf(1 - LEVEL, count - 1)) * error
    if not math.isfinite(lower):
        return None
    return Decline(
        version=version,
        days=count,
        rows=len(truth),
        on_test_days=on_test_days,
        in_service=found,
        lower=lower,
        checks=_calibration(spec, truth, predicted, days),
    )


def skill_on_test_days(judged: EvaluationReceipt, metric: Metric) -> float | None:
    """Return what the challenger of *judged* gained over the trivial baseline; None if unknown."""
    ours, trivial = (
        judged.metrics.get(name, {}).get(metric) for name in ("challenger", "trivial baseline")
    )
    if ours is None or trivial is None:
        return None
    return metrics.skill(metric, ours, trivial)


def skill_and_error(
    truth: Labels, predicted: Predictions, days: NDArray[np.int64], *, metric: Metric
) -> tuple[float, float]:
    """
    Return the gain over the best constant answer, and its standard error by a jackknife of days.

    As a share of the constant's loss, as :func:`~evergreen.modeling.metrics.skill` gives it.

    :return: NaN for what cannot be measured, as without a day that holds all rows of a class.
    """

    def skill(rows: NDArray[np.bool_]) -> float:
        some = truth.take(rows)
        if not some.is_measurable:
            return math.nan
        constant = metrics.value(some, metric, best_constant(some, metric))
        return metrics.skill(metric, metrics.value(some, metric, predicted[rows]), constant)

    every = np.unique(days)
    found = skill(np.ones(len(days), dtype=bool))
    without = np.array([skill(days != day) for day in every])
    error = math.sqrt((len(every) - 1) / len(every) * float(np.sum((without - found) ** 2)))
    return found, error


def _calibration(
    spec: ModelSpec, truth: Labels, predicted: Predictions, days: NDArray[np.int64]
) -> tuple[Check, ...]:
    """Hold the calibration in service to the limits of the gates."""
    asked = CalibrationInputs(truth=truth, predictions=predicted, days=days, without_days="unknown")
    found = [calibration_check(asked, most=spec.gates.max_calibration_error)]
    if truth.problem != "regression":
        found.append(frequency_check(asked, most=spec.gates.max_calibration_ratio))
    return tuple(found)
