"""
The rules a challenger must pass. Pure functions of predictions for the same rows.

Every gate answers. One that cannot be measured fails, one that gives no answer fails, and only a
slice that is too small to tell, or a rule the spec does not set, is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from evergreen.modeling import metrics
from evergreen.modeling.baselines import best_constant
from evergreen.modeling.champion_gate import champion_check, champion_check_name
from evergreen.modeling.leakage import check_leaks
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.paired_gain import paired_gain
from evergreen.receipts.common import Check, Status
from evergreen.receipts.modeling import Importance
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import METRIC_DEFINITIONS, Metric

#: How sure it must be that a pipeline learns from shuffled labels before it is refused.
SHUFFLED_CONFIDENCE = 0.995
#: The share of a perfect gain that the test on shuffled labels must be able to notice.
NOTICED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """One model's predictions for the test rows, and their metrics."""

    predictions: Predictions
    metrics: dict[Metric, float]
    ms_per_row: float = field(default=math.nan)

    def value(self, metric: Metric) -> float:
        """Return *metric*, or NaN if it was not measured."""
        return self.metrics.get(metric, math.nan)


@dataclass(frozen=True, kw_only=True)
class GateInputs:
    """
    Everything the gates look at.

    ``test`` are the rows all were evaluated on and ``truth`` their labels; ``train`` what the
    challenger learnt from. ``shuffled`` are its gains after learning from shuffled labels.
    """

    test: pd.DataFrame
    train: pd.DataFrame
    truth: Labels
    challenger: ModelScores
    trivial: ModelScores
    linear: ModelScores
    champion: ModelScores | None
    artifact_bytes: int
    shuffled: Sequence[float]
    importances: Sequence[Importance]


Gate = Callable[[ModelSpec, GateInputs], Iterator[Check]]


def check_gates(spec: ModelSpec, contest: GateInputs) -> list[Check]:
    """Hold the challenger against every gate; only "failed" stands in the way of a promotion."""
    checks: list[Check] = []
    for name, gate in GATES.items():
        found = list(gate(spec, contest))
        checks += found or [
            Check(name=name, status="failed", measured="did not run", required="an answer")
        ]
    return checks


def _rows(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    yield _at_least(
        "rows to evaluate on", float(len(contest.test)), spec.gates.min_test_rows, digits=0
    )


def _floors(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    for metric, floor in spec.gates.floors.items():
        check = _at_most if METRIC_DEFINITIONS[metric].lower_is_better else _at_least
        yield check(f"{metric} alone", contest.challenger.value(metric), floor)
    if not spec.gates.floors:
        value = f"{contest.challenger.value(spec.metric):.4f}"
        yield Check(
            name=f"{spec.metric} alone",
            status="unknown",
            measured=value,
            required="no gates.floors set",
        )


def _calibration(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    """Calibration may be as bad as the champion's on the same rows."""
    most = spec.gates.max_calibration_error
    error = metrics.calibration_error(contest.truth, contest.challenger.predictions)
    measured, required = f"{error:.4f}", f"<= {most:g}"
    if contest.champion is not None:
        theirs = metrics.calibration_error(contest.truth, contest.champion.predictions)
        measured += f", champion {theirs:.4f}"
        required += " or the champion's"
        most = np.fmax(most, theirs)
    yield Check(
        name="calibration error",
        status=_status(error <= most),
        measured=measured,
        required=required,
    )


def _service(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    yield _at_most(
        "prediction time, ms a row",
        contest.challenger.ms_per_row,
        spec.gates.max_predict_ms_per_row,
    )
    yield _at_most("artifact size, MB", contest.artifact_bytes / 1e6, spec.gates.max_artifact_mb)


def _baselines(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    for name, judged, least in (
        ("the trivial baseline", contest.trivial, spec.gates.baseline.trivial),
        ("the linear baseline", contest.linear, spec.gates.baseline.linear),
    ):
        ours, theirs = contest.challenger.value(spec.metric), judged.value(spec.metric)
        yield _at_least(
            f"{spec.metric} over {name}", metrics.gain(spec.metric, ours, theirs), least
        )


def _champion(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    rule, metric, champion = spec.gates.champion, spec.metric, contest.champion
    if champion is None:
        name = champion_check_name(metric)
        yield Check(name=name, status="passed", measured="no champion yet", required="first run")
        return
    days = days_of_rows(spec, contest.test)
    better, lower = paired_gain(
        contest.truth,
        contest.challenger.predictions,
        champion.predictions,
        metric=metric,
        confidence=rule.confidence,
        clusters=days,
    )
    yield champion_check(
        metric, gain=better, lower_bound=lower, days=len(np.unique(days)), rule=rule
    )


def days_of_rows(spec: ModelSpec, rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number of the UTC day of each of *rows*; rows of one day are not independent."""
    days = rows[spec.examples.event_time].dt.floor("D")
    return np.asarray(pd.factorize(days)[0], dtype=np.int64)


def _slices(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    columns, champion = spec.gates.slices.columns, contest.champion
    if not columns or champion is None:
        lacking = "no gates.slices.columns set" if not columns else "a champion to compare with"
        yield Check(name="slices", status="unknown", measured="none compared", required=lacking)
        return
    for column in columns:
        groups = contest.test.groupby(column, dropna=False).indices
        for value, positions in sorted(groups.items(), key=str):
            yield _slice(spec, contest, champion, f"slice {column}={value}", positions)


def _slice(
    spec: ModelSpec, contest: GateInputs, champion: ModelScores, name: str, positions: np.ndarray
) -> Check:
    rule, truth = spec.gates.slices, contest.truth.take(positions)
    if len(truth) < rule.min_rows or not truth.is_measurable:
        return Check(
            name=name,
            status="unknown",
            measured=f"{len(truth)} rows" + (", all alike" if not truth.is_measurable else ""),
            required=f"{rule.min_rows} rows that differ, to tell",
        )
    ours, theirs = (
        metrics.value(truth, spec.metric, judged.predictions[positions])
        for judged in (contest.challenger, champion)
    )
    return Check(
        name=name,
        status=_status(-metrics.gain(spec.metric, ours, theirs) <= rule.max_drop),
        measured=f"{ours:.4f} against {theirs:.4f} on {len(truth)} rows",
        required=f"{spec.metric} drop <= {rule.max_drop:g}",
    )


def _leaks(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    yield from check_leaks(spec, train=contest.train, test=contest.test, truth=contest.truth)


def _shuffled(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    """
    Refuse a pipeline that gains from shuffled labels on average, by a one-sided t-test.

    Single gains scatter widely, either way: test rows are few kinds of rows, not thousands. Where
    they scatter so widely that half of a perfect gain would not be noticed, nothing was measured.
    """
    gains = np.asarray(contest.shuffled, dtype=np.float64)
    name, required = "leak: learns from shuffled labels", "lower bound <= 0"
    asked = spec.gates.sanity.shuffles
    if len(gains) < asked:
        measured = f"{len(gains)} of {asked} shuffles ran"
        yield Check(name=name, status="failed", measured=measured, required=required)
        return
    reach = stats.t.ppf(SHUFFLED_CONFIDENCE, len(gains) - 1) / math.sqrt(len(gains))
    reach *= gains.std(ddof=1)
    lower = gains.mean() - reach
    noticed = NOTICED_SHARE * _perfect_gain(spec, contest.truth)
    measured = f"{spec.metric} {gains.mean():+.4f} over chance, lower bound {lower:+.4f}"
    if not reach <= noticed:
        measured += (
            f"; not measured: {len(gains)} shuffles notice a gain of {reach:.4f} only, at least "
            f"{noticed:.4f} must be. Raise gates.sanity.shuffles"
        )
    yield Check(
        name=name,
        status=_status(lower <= 0 and reach <= noticed),
        measured=measured,
        required=required,
    )


def _perfect_gain(spec: ModelSpec, truth: Labels) -> float:
    """Return what a perfect answer gains over the best constant; NaN if all labels are alike."""
    if not truth.is_measurable:
        return math.nan
    chance = metrics.value(truth, spec.metric, best_constant(truth, spec.metric))
    return metrics.gain(
        spec.metric, 0.0 if METRIC_DEFINITIONS[spec.metric].lower_is_better else 1.0, chance
    )


def _inputs(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    """Name what adds nothing; naming it is the whole rule, for it costs no quality."""
    useless = sorted(one.name for one in contest.importances if one.is_useless)
    yield Check(
        name="inputs that add nothing",
        status=_status(len(contest.importances) > 0),
        measured=f"{len(useless)} of {len(contest.importances)}: {', '.join(useless) or 'none'}",
        required="named",
    )


def _at_least(name: str, value: float, least: float, *, digits: int = 4) -> Check:
    return Check(
        name=name,
        status=_status(value >= least),
        measured=f"{value:.{digits}f}",
        required=f">= {least:g}",
    )


def _at_most(name: str, value: float, most: float) -> Check:
    return Check(
        name=name, status=_status(value <= most), measured=f"{value:.4f}", required=f"<= {most:g}"
    )


def _status(is_met: bool | np.bool_) -> Status:
    """Return the verdict of a comparison; one with NaN is false, and so fails."""
    return "passed" if is_met else "failed"


GATES: dict[str, Gate] = {
    "rows": _rows,
    "floors": _floors,
    "baselines": _baselines,
    "champion": _champion,
    "slices": _slices,
    "calibration": _calibration,
    "service": _service,
    "leaks": _leaks,
    "shuffled labels": _shuffled,
    "inputs": _inputs,
}
