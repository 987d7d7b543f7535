"""Estimates of quality without labels: right where scores can be believed, absent elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from evergreen.modeling.metrics import Labels
from evergreen.monitoring.performance_estimation import (
    calibrated,
    expected_errors,
    expected_metrics,
)

RNG = np.random.default_rng(7)


def test_of_scores_that_come_true_the_estimate_is_what_comes():
    said = RNG.beta(2, 5, size=40_000)
    came = RNG.random(40_000) < said

    found = expected_metrics(said, said, problem="binary")

    assert found["roc_auc"] == pytest.approx(roc_auc_score(came, said), abs=0.01)
    assert found["brier_loss"] == pytest.approx(brier_score_loss(came, said), abs=0.005)
    assert found["log_loss"] == pytest.approx(log_loss(came, said), abs=0.01)


def test_the_expected_area_is_that_of_every_possible_outcome_weighted():
    """By hand: of two rows at 0.8 and 0.4, pairs that differ count with their chances."""
    found = expected_metrics(np.array([0.8, 0.4]), np.array([0.8, 0.4]), problem="binary")

    above, below, ties = 0.8 * 0.6, 0.4 * 0.2, 0.8 * 0.2 + 0.4 * 0.6
    assert found["roc_auc"] == pytest.approx((above + ties / 2) / (above + below + ties))


def test_several_classes_are_estimated_too():
    said = RNG.dirichlet([3, 2, 1], size=20_000)
    came = np.array([RNG.choice(3, p=row) for row in said])

    found = expected_metrics(said, said, problem="multiclass")

    assert found["accuracy"] == pytest.approx(accuracy_score(came, said.argmax(axis=1)), abs=0.01)
    assert found["log_loss"] == pytest.approx(log_loss(came, said), abs=0.02)


def test_numbers_say_nothing_of_their_own_error():
    found = expected_metrics(np.ones(5), np.ones(5), problem="regression")

    assert set(found.values()) == {None}


def test_scores_that_exaggerate_are_set_right_by_what_came_before():
    honest = RNG.beta(2, 2, size=20_000)
    came = RNG.random(20_000) < honest
    loud = np.clip(honest * 2 - 0.5, 0, 1)

    raw = expected_metrics(loud[10_000:], loud[10_000:], problem="binary")
    past = Labels(problem="binary", values=came[:10_000])
    chances = calibrated(past, loud[:10_000], to=loud[10_000:])
    right = expected_metrics(loud[10_000:], chances, problem="binary")

    truth = roc_auc_score(came[10_000:], loud[10_000:])
    assert right["roc_auc"] == pytest.approx(truth, abs=0.01)
    assert raw["roc_auc"] > truth + 0.05


def test_a_few_labels_calibrate_nothing():
    said = RNG.random(100)
    past = Labels(problem="binary", values=RNG.random(100) < 0.5)

    assert (calibrated(past, said, to=said) == said).all()


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_errors_of_numbers_are_estimated_from_like_predictions(spread):
    """The errors grow with the prediction, and the new rows have larger ones than those before."""
    rng = np.random.default_rng(0)

    def rows(low: float):
        predicted = rng.uniform(low, 10, 5000)
        return predicted, predicted + rng.normal(0, 1 + spread * predicted)

    (before, actual), (now, then) = rows(0.0), rows(5.0)

    found = expected_errors(Labels(problem="regression", values=actual), before, to=now)

    assert found["mean_absolute_error"] == pytest.approx(np.abs(then - now).mean(), rel=0.1)
    assert found["root_mean_squared_error"] == pytest.approx(
        np.sqrt(((then - now) ** 2).mean()), rel=0.1
    )
    assert found["r2"] is None


def test_few_numbers_give_no_estimate():
    known = Labels(problem="regression", values=np.arange(499.0))

    assert set(expected_errors(known, np.arange(499.0), to=np.arange(9.0)).values()) == {None}
