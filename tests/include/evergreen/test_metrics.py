"""Numbers that say how good predictions are, for each kind of problem."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evergreen.metrics import (
    Truth,
    calibration_curve,
    calibration_error,
    delong_gain,
    gain,
    lift_curve,
    measure,
    merit,
    paired_gain,
)


def binary(labels) -> Truth:
    return Truth(problem="binary", values=np.asarray(labels, dtype=bool))


def numbers(labels) -> Truth:
    return Truth(problem="regression", values=np.asarray(labels, dtype=float))


LABELS = [False, False, True, True]


def test_metrics_of_a_perfect_order():
    assert measure(binary(LABELS), np.array([0.1, 0.2, 0.8, 0.9])) == pytest.approx(
        {"roc_auc": 1.0, "average_precision": 1.0, "brier_loss": 0.025, "log_loss": 0.164252},
        abs=1e-6,
    )


def test_metrics_of_several_classes():
    truth = Truth(problem="multiclass", values=np.array([0, 1, 2, 2]), classes=("a", "b", "c"))
    said = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])

    found = measure(truth, said)

    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.6, 0.8, 0.1]).mean())


def test_metrics_of_numbers():
    found = measure(numbers([1, 2, 3, 4]), np.array([1.0, 2, 3, 8]))

    assert found["mean_absolute_error"] == 1.0
    assert found["root_mean_squared_error"] == 2.0
    assert found["r2"] == pytest.approx(1 - 16 / 5)


def test_gain_is_positive_when_better_for_scores_and_for_losses():
    assert gain("roc_auc", 0.7, 0.6) == pytest.approx(0.1)
    assert gain("log_loss", 0.5, 0.6) == pytest.approx(0.1)
    assert merit("log_loss", 0.5) > merit("log_loss", 0.6)


def test_gain_on_an_error_in_the_labels_units_is_a_share():
    assert gain("mean_absolute_error", 9.0, 12.0) == pytest.approx(0.25)
    assert gain("mean_absolute_error", 9000.0, 12_000.0) == pytest.approx(0.25)


def test_gain_over_nothing_is_no_number():
    assert math.isnan(gain("roc_auc", 0.7, math.nan))
    assert math.isnan(gain("mean_absolute_error", math.nan, 2.0))


def test_calibration_error_of_scores_that_say_too_much():
    labels = binary(np.tile([True, False], 50))

    assert calibration_error(labels, np.full(100, 0.5), bins=5) == pytest.approx(0.0)
    assert calibration_error(labels, np.full(100, 0.9), bins=5) == pytest.approx(0.4)


def test_calibration_of_several_classes_is_that_of_the_likeliest():
    truth = Truth(problem="multiclass", values=np.array([0, 1] * 50), classes=("a", "b", "c"))

    error = calibration_error(truth, np.tile([0.9, 0.05, 0.05], (100, 1)), bins=1)

    assert error == pytest.approx(0.4)


def test_calibration_of_numbers_is_the_mean_error_in_standard_deviations():
    labels = np.array([0.0, 2.0] * 50)

    assert calibration_error(numbers(labels), labels + 0.5) == pytest.approx(0.5)


def test_the_curve_says_what_was_said_and_what_came():
    labels = binary([False] * 50 + [True] * 50)

    assert calibration_curve(labels, np.repeat([0.2, 0.7], 50), bins=2) == [
        pytest.approx((0.2, 0.0, 50)),
        pytest.approx((0.7, 1.0, 50)),
    ]


def test_the_highest_half_of_a_perfect_order_holds_all_positives():
    labels = binary([False] * 50 + [True] * 50)

    assert lift_curve(labels, np.linspace(0, 1, 100), points=4) == [
        (0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0)
    ]  # fmt: skip


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.random(2000) < 0.3
    return labels, np.clip(labels * 0.2 + rng.random(2000) * 0.8, 0, 1)


def bound(labels, challenger, champion, metric="roc_auc") -> float:
    return paired_gain(
        binary(labels), challenger, champion,
        metric=metric, confidence=0.95, resamples=200, seed=0,
    )[1]  # fmt: skip


def test_delong_is_exact_where_it_can_be_counted():
    """Four rows: every pair counted by hand, and the variance by its definition."""
    labels = np.array([True, True, False, False])
    ours, theirs = np.array([4.0, 2.0, 3.0, 1.0]), np.array([4.0, 3.0, 2.0, 1.0])

    found, error = delong_gain(labels, ours, theirs)

    assert found == pytest.approx(0.75 - 1.0)
    # Structural components of the first: positives 1, 0.5 and negatives 0.5, 1; of the second: 1.
    assert error == pytest.approx(np.sqrt(0.125 / 2 + 0.125 / 2))


def test_delong_agrees_with_the_bootstrap(rows):
    labels, good = rows
    worse = np.clip(good + np.random.default_rng(2).normal(0, 0.3, len(good)), 0, 1)
    rng, drawn = np.random.default_rng(3), []
    for _ in range(300):
        i = rng.integers(0, len(labels), len(labels))
        drawn.append(roc_auc_score(labels[i], good[i]) - roc_auc_score(labels[i], worse[i]))

    found, error = delong_gain(labels, good, worse)

    assert found == pytest.approx(roc_auc_score(labels, good) - roc_auc_score(labels, worse))
    assert error == pytest.approx(np.std(drawn), rel=0.15)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_loss", "log_loss"])
def test_a_clearly_better_model_has_a_positive_bound(rows, metric):
    labels, good = rows
    worse = np.clip(good + np.random.default_rng(2).normal(0, 0.5, len(good)), 0.001, 0.999)

    assert bound(labels, good.clip(0.001, 0.999), worse, metric) > 0.01
    assert bound(labels, worse, good.clip(0.001, 0.999), metric) < 0


@pytest.mark.parametrize("metric", ["roc_auc", "brier_loss"])
def test_the_same_scores_have_no_gain(rows, metric):
    labels, good = rows

    assert bound(labels, good, good, metric) == 0


def test_the_same_order_has_no_gain(rows):
    labels, good = rows

    assert bound(labels, good, good**2) == 0


def test_the_bound_is_the_same_each_time(rows):
    labels, good = rows

    assert bound(labels, good, good**2, "brier_loss") == bound(labels, good, good**2, "brier_loss")


def test_one_class_has_no_bound():
    labels = np.ones(50, dtype=bool)

    assert math.isnan(bound(labels, np.linspace(0, 1, 50), np.zeros(50), "average_precision"))
