"""A version that falls in service is found; one that does not fall is left alone."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from tests.support import gate_cases

from evergreen.modeling import metrics
from evergreen.modeling.baselines import best_constant
from evergreen.modeling.metrics import Labels
from evergreen.monitoring.quality import _verdict
from evergreen.monitoring.quality_decline import decline_of, skill_and_error
from evergreen.receipts.common import Check
from evergreen.receipts.monitoring import Decline, QualityWindow
from evergreen.spec.metrics import metrics_of

TRIES = 100


@pytest.fixture
def spec_of(spec):
    def of(problem: str = "binary", metric: str = "roc_auc"):
        return spec.model_copy(
            update={
                "examples": spec.examples.model_copy(update={"problem": problem}),
                "gates": spec.gates.model_copy(update={"metric": metric}),
                "window": spec.window.model_copy(update={"test_days": 14}),
            }
        )

    return of


def skill(truth, predicted, metric: str) -> float:
    constant = metrics.value(truth, metric, best_constant(truth, metric))
    return metrics.skill(metric, metrics.value(truth, metric, predicted), constant)


def flipped(rng, truth: Labels, share: float) -> Labels:
    """Return labels of which *share* mean the opposite."""
    return Labels(problem="binary", values=truth.values ^ (rng.random(len(truth)) < share))


def lost(rng, truth: Labels, share: float) -> Labels:
    """Return labels in which *share* of the positives arrived as negatives."""
    return Labels(problem="binary", values=truth.values & (rng.random(len(truth)) >= share))


def tried(rng, spec, *, change=lambda truth: truth, effect: float = 0.3, rows: int = 2100):
    """Return what is found for a service week, beside test days of the same world."""
    tests = gate_cases.binary(rng, rows=2 * rows, share=0.3, days=14, effect=effect, spread=2.0)
    truth, predicted, days = gate_cases.binary(rng, rows=rows, share=0.3, effect=effect, spread=2.0)
    promised = skill(tests[0], tests[1], spec.metric)
    return decline_of(spec, change(truth), predicted, days, version="1", on_test_days=promised)


def is_red(found, spec) -> bool:
    return found.lower > 0 and found.drop > spec.quality.max_drop


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "average_precision"])
@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_a_version_that_is_as_good_as_on_its_test_days_is_hardly_ever_red(spec_of, metric, effect):
    rng, spec = np.random.default_rng(0), spec_of(metric=metric)
    found = [tried(rng, spec, effect=effect) for _ in range(TRIES)]

    assert sum(is_red(one, spec) for one in found) <= 0.03 * TRIES
    assert sum(one.lower > 0 for one in found) <= 0.05 * TRIES


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4])
def test_a_rule_that_changed_for_a_share_of_the_rows_is_red(spec_of, share):
    """The inputs are the same: no drift alarm and no estimate can see it."""
    rng, spec = np.random.default_rng(0), spec_of()
    found = [tried(rng, spec, change=lambda t: flipped(rng, t, share)) for _ in range(20)]

    assert sum(is_red(one, spec) for one in found) >= (16 if share == 0.1 else 20)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_positives_that_arrive_as_negatives_are_not_green(spec_of, share):
    rng, spec = np.random.default_rng(0), spec_of()
    found = [tried(rng, spec, change=lambda t: lost(rng, t, share)) for _ in range(20)]

    assert all(any(check.status == "failed" for check in one.checks) for one in found)


def test_scores_three_times_too_high_are_not_green(spec_of):
    truth, predicted, days = gate_cases.binary(np.random.default_rng(0), rows=2100, share=0.12)

    found = decline_of(
        spec_of(), truth, np.clip(3 * predicted, 0, 1), days, version="1", on_test_days=0.25
    )

    assert [check.status for check in found.checks] == ["failed", "failed"]


@pytest.mark.parametrize(("bias", "is_fault"), [(0.0, False), (1.0, True), (1.5, True)])
def test_a_number_that_is_off_is_red_and_one_that_is_not_is_not(spec_of, bias, is_fault):
    rng, spec = np.random.default_rng(0), spec_of("regression", "mean_absolute_error")
    red = 0
    for _ in range(30):
        tests = gate_cases.regression(rng, rows=4200, effect=0.2, days=14)
        truth, predicted, days = gate_cases.regression(rng, rows=2100, effect=0.2)
        found = decline_of(
            spec,
            truth,
            predicted + bias,
            days,
            version="1",
            on_test_days=skill(tests[0], tests[1], spec.metric),
        )
        red += is_red(found, spec)

    assert red >= 27 if is_fault else red <= 1


@pytest.mark.parametrize("metric", metrics_of("regression"))
def test_a_label_that_doubles_with_its_errors_is_no_fall(spec_of, metric):
    """A season: the error in the label's units doubles, what the model adds does not change."""
    truth, predicted, days = gate_cases.regression(np.random.default_rng(0), rows=2100, effect=0.1)
    doubled = Labels(problem="regression", values=2 * truth.values)
    spec = spec_of("regression", metric)

    found = decline_of(
        spec,
        doubled,
        2 * predicted,
        days,
        version="1",
        on_test_days=skill(truth, predicted, metric),
    )

    assert found.drop == pytest.approx(0, abs=1e-9)


WINDOW = QualityWindow(
    first=date(2026, 3, 1),
    last=date(2026, 3, 7),
    rows=2100,
    labelled=2100,
    metrics={"roc_auc": 0.7},
    estimated={"roc_auc": 0.75},
)


@pytest.mark.parametrize(
    ("in_service", "lower", "status", "colour", "asks"),
    [
        (0.20, 0.01, "passed", "red", True),
        (0.20, -0.01, "passed", "green", False),
        (0.26, 0.01, "passed", "amber", False),
        (0.28, -0.01, "unknown", "green", False),
        (0.28, -0.01, "failed", "amber", False),
    ],
)
def test_a_fall_decides_on_the_colour_of_the_day(spec_of, in_service, lower, status, colour, asks):
    check = Check(name="calibration error", status=status, measured="0.3", required="<= 0.1")
    decline = Decline(
        version="3",
        days=7,
        rows=2100,
        on_test_days=0.28,
        in_service=in_service,
        lower=lower,
        checks=(check,),
    )

    found = _verdict(spec_of(), WINDOW, WINDOW, [], trivial=0.5, decline=decline)

    assert (found.colour, found.requests_retrain) == (colour, asks)
    assert any("version 3 gains" in reason for reason in found.reasons) == (lower > 0)
    assert any("calibration" in reason for reason in found.reasons) == (status == "failed")


def test_too_few_rows_days_or_labels_tell_nothing(spec_of):
    truth, predicted, days = gate_cases.binary(np.random.default_rng(0), rows=2100, share=0.2)
    asked = {"version": "1", "on_test_days": 0.2}
    alike = Labels(problem="binary", values=np.zeros(2100, dtype=bool))

    assert (
        decline_of(spec_of(), truth.take(slice(0, 100)), predicted[:100], days[:100], **asked)
        is None
    )
    assert decline_of(spec_of(), truth, predicted, days % 2, **asked) is None
    assert decline_of(spec_of(), alike, predicted, days, **asked) is None


def test_the_error_agrees_with_a_bootstrap_of_days():
    rng = np.random.default_rng(1)
    truth, predicted, days = gate_cases.binary(rng, rows=6000, share=0.3, days=30, effect=0.5)

    _, error = skill_and_error(truth, predicted, days, metric="roc_auc")

    drawn = []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(days == d) for d in rng.integers(0, 30, 30)])
        drawn.append(metrics.value(truth.take(rows), "roc_auc", predicted[rows]))
    assert error == pytest.approx(np.std(drawn), rel=0.2)
