"""
The rules a challenger must pass. Pure functions of predictions for the same rows.

Every gate answers. One that cannot be measured fails, one that gives no answer fails, and only a
slice that is too small to tell, or a rule the spec does not set, is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from evergreen.modeling import metrics
from evergreen.modeling.baseline_gate import baseline_check
from evergreen.modeling.baselines import best_constant
from evergreen.modeling.calibration_gate import calibration_checks
from evergreen.modeling.champion_gate import champion_check, champion_check_name
from evergreen.modeling.gate_inputs import GateInputs, days_of_rows, why_not_measurable
from evergreen.modeling.leakage import check_leaks
from evergreen.modeling.metrics import Labels
from evergreen.modeling.paired_gain import paired_gain
from evergreen.modeling.slice_gate import slice_checks
from evergreen.receipts.common import Check, Status
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import METRIC_DEFINITIONS

#: How sure it must be that a pipeline learns from shuffled labels before it is refused.
SHUFFLED_CONFIDENCE = 0.995
#: The share of a perfect gain that the test on shuffled labels must be able to notice.
NOTICED_SHARE = 0.5


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


def _service(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    yield _at_most(
        "prediction time, ms a row",
        contest.challenger.ms_per_row,
        spec.gates.max_predict_ms_per_row,
    )
    yield _at_most("artifact size, MB", contest.artifact_bytes / 1e6, spec.gates.max_artifact_mb)


def _baselines(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    rule = spec.gates.baseline
    for name, baseline, margin, is_demand in (
        ("the trivial baseline", contest.trivial, rule.trivial, rule.trivial >= 0),
        ("the linear baseline", contest.linear, rule.linear, rule.linear > 0),
    ):
        yield baseline_check(
            name,
            metric=spec.metric,
            truth=contest.truth,
            challenger=contest.challenger,
            baseline=baseline,
            days=days_of_rows(spec, contest.test),
            margin=margin,
            confidence=rule.confidence,
            is_demand=is_demand,
        )


def _champion(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    rule, metric, champion = spec.gates.champion, spec.metric, contest.champion
    if champion is None:
        name = champion_check_name(metric)
        yield Check(name=name, status="passed", measured="no champion yet", required="first run")
        return
    if champion.problem:
        yield _unusable(spec, champion.problem)
        return
    if champion.bad_rows and not contest.challenger.bad_rows:
        yield Check(
            name=champion_check_name(metric),
            status="passed",
            measured=f"the champion has no finite prediction for {champion.bad_rows} of "
            f"{len(contest.truth)} rows",
            required="a prediction for each row; the challenger has one",
        )
        return
    days = days_of_rows(spec, contest.test)
    found = paired_gain(
        contest.truth,
        contest.challenger.predictions,
        champion.predictions,
        metric=metric,
        clusters=days,
    )
    level = contest.level
    check = champion_check(
        metric,
        found=found,
        days=len(np.unique(days)),
        rule=rule,
        level=level.level if level else None,
    )
    if level is not None:
        check = check.model_copy(update={"required": f"{check.required}; {level.summary}"})
    why = why_not_measurable(contest.truth)
    yield check.model_copy(update={"measured": why}) if why else check


def _unusable(spec: ModelSpec, problem: str) -> Check:
    """Judge a challenger beside a champion that could not be loaded, found or asked."""
    replaces = spec.gates.champion.when_unusable == "promote"
    return Check(
        name=champion_check_name(spec.metric),
        status="passed" if replaces else "failed",
        measured=f"the champion cannot be used: {problem}",
        required="a champion to compare with; gates.champion.when_unusable is promote"
        if replaces
        else "a champion to compare with. Repair it, roll back to a version that can be loaded, or "
        "write gates.champion.when_unusable: promote for a night",
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
    "slices": slice_checks,
    "calibration": calibration_checks,
    "service": _service,
    "leaks": _leaks,
    "shuffled labels": _shuffled,
    "inputs": _inputs,
}
