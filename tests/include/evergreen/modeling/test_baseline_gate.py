"""What is better than a baseline passes, however rare its class; what is not shown does not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import gate_cases

from evergreen.modeling.baseline_gate import baseline_check
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.metrics import Labels
from evergreen.spec.metrics import metrics_of

TRIES = 100


def check(truth, challenger, baseline, days, *, metric, margin=0.001, is_demand=True):
    return baseline_check(
        "the baseline",
        metric=metric,
        truth=truth,
        challenger=gate_cases.scores_of(truth, challenger),
        baseline=gate_cases.scores_of(truth, baseline),
        days=days,
        margin=margin,
        confidence=0.975,
        is_demand=is_demand,
    )


def over_trivial(truth, challenger, days, *, metric):
    trivial = trivial_baseline(truth, rows=len(truth))
    return check(truth, challenger, trivial, days, metric=metric)


@pytest.mark.parametrize("metric", metrics_of("binary"))
@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.99, 0.999])
def test_a_perfect_model_passes_however_rare_its_class(metric, share):
    truth, _, days = gate_cases.binary(np.random.default_rng(0), rows=20_000, share=share)
    perfect = np.where(truth.values, 0.999, 0.001)

    assert over_trivial(truth, perfect, days, metric=metric).status == "passed"


@pytest.mark.parametrize("metric", metrics_of("multiclass"))
@pytest.mark.parametrize("rare", [0.005, 0.2])
def test_a_perfect_model_of_several_classes_passes(metric, rare):
    truth, _, days = gate_cases.multiclass(
        np.random.default_rng(0), rows=5000, classes=2, rare=rare
    )
    perfect = np.eye(2)[truth.values] * 0.998 + 0.001

    assert over_trivial(truth, perfect, days, metric=metric).status == "passed"


@pytest.mark.parametrize(
    ("share", "metric"),
    [*((0.01, metric) for metric in metrics_of("binary")), (0.001, "roc_auc"), (0.001, "log_loss")],
)
def test_true_chances_of_a_rare_class_pass(metric, share):
    rng, passed = np.random.default_rng(0), []
    for _ in range(10):
        truth, chances, days = gate_cases.binary(
            rng, rows=60_000, share=share / 3, spread=1.5, days=14
        )
        passed.append(over_trivial(truth, chances, days, metric=metric).status == "passed")

    assert np.mean(passed) >= 0.9


@pytest.mark.parametrize(
    ("problem", "metric"), [(p, m) for p in ("binary", "regression") for m in metrics_of(p)]
)
def test_predictions_without_information_pass_in_at_most_one_of_twenty_tries(problem, metric):
    rng, passed = np.random.default_rng(0), 0
    for _ in range(TRIES):
        if problem == "binary":
            truth, chances, days = gate_cases.binary(rng, rows=700, share=0.2, effect=0.3)
        else:
            truth, chances, days = gate_cases.regression(rng, rows=700, effect=0.3)
        passed += (
            over_trivial(truth, rng.permutation(chances), days, metric=metric).status == "passed"
        )

    assert passed <= 0.05 * TRIES


def linear_pair(rng, *, rows: int, worse: float, bias: float = 0.0):
    """Return labels, days, and a challenger whose noise is *worse* times that of the baseline."""
    day = gate_cases.days_of(rows, 7)
    signal = rng.normal(size=rows)
    truth = Labels(problem="binary", values=rng.random(rows) < 1 / (1 + np.exp(1 - 1.5 * signal)))
    ours, theirs = (
        gate_cases.sigmoid(signal + rng.normal(0, bias, 7)[day] + noise * rng.normal(size=rows))
        for noise in (0.5 * worse, 0.5)
    )
    return truth, ours, theirs, day


@pytest.mark.parametrize("rows", [301, 1001, 5005])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_a_challenger_as_good_as_the_linear_model_is_held_in_at_most_one_of_twenty_tries(
    rows, bias
):
    rng, held = np.random.default_rng(0), 0
    for _ in range(TRIES):
        pair = linear_pair(rng, rows=rows, worse=1.0, bias=bias)
        found = check(*pair, metric="roc_auc", margin=-0.01, is_demand=False)
        held += found.status == "failed"

    assert held <= 0.05 * TRIES


def test_a_challenger_that_is_worse_than_the_linear_model_is_held():
    rng, held = np.random.default_rng(0), 0
    for _ in range(50):
        pair = linear_pair(rng, rows=5005, worse=2.0)
        held += check(*pair, metric="roc_auc", margin=-0.01, is_demand=False).status == "failed"

    assert held >= 45


def test_a_lag_that_the_days_do_not_show_is_unknown():
    rng = np.random.default_rng(0)
    found = (
        check(
            *linear_pair(rng, rows=301, worse=1.1), metric="roc_auc", margin=-0.01, is_demand=False
        )
        for _ in range(50)
    )

    assert "unknown" in {one.status for one in found}


@pytest.mark.parametrize("is_demand", [True, False])
def test_one_day_one_class_and_no_numbers_do_not_pass(is_demand):
    truth, chances, days = gate_cases.binary(np.random.default_rng(0), rows=700, share=0.2)
    trivial = trivial_baseline(truth, rows=700)
    asked = {"metric": "roc_auc", "is_demand": is_demand, "margin": 0.01 if is_demand else -0.01}
    alike = Labels(problem="binary", values=np.ones(700, dtype=bool))
    broken = np.where(np.arange(700) == 3, np.nan, chances)

    one_day = check(truth, chances, trivial, np.zeros(700, dtype=int), **asked)
    one_class = check(alike, chances, trivial, days, **asked)
    no_number = check(truth, broken, trivial, days, **asked)

    assert {one_day.status, one_class.status, no_number.status} == {"failed"}
    assert one_day.measured == "not measured from 1 days"
    assert one_class.measured == "cannot tell: all 700 test labels are the same"


def test_a_share_is_shown_beside_a_loss():
    truth, chances, days = gate_cases.binary(np.random.default_rng(0), rows=7000, share=0.2)

    assert "a share of +" in over_trivial(truth, chances, days, metric="log_loss").measured
    assert "share" not in over_trivial(truth, chances, days, metric="roc_auc").measured
