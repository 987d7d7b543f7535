"""Numbers that say how good predictions are, for each kind of problem."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evergreen.modeling.metrics import (
    Labels,
    calibration_curve,
    calibration_error,
    gain,
    lift_curve,
    measure,
    merit,
)
from evergreen.modeling.paired_gain import jackknifed_gain, obuchowski_gain, paired_gain


def binary(labels) -> Labels:
    return Labels(problem="binary", values=np.asarray(labels, dtype=bool))


def numbers(labels) -> Labels:
    return Labels(problem="regression", values=np.asarray(labels, dtype=float))


LABELS = [False, False, True, True]


def test_metrics_of_a_perfect_order():
    assert measure(binary(LABELS), np.array([0.1, 0.2, 0.8, 0.9])) == pytest.approx(
        {"roc_auc": 1.0, "average_precision": 1.0, "brier_loss": 0.025, "log_loss": 0.164252},
        abs=1e-6,
    )


def test_metrics_of_several_classes():
    truth = Labels(problem="multiclass", values=np.array([0, 1, 2, 2]), classes=("a", "b", "c"))
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
    truth = Labels(problem="multiclass", values=np.array([0, 1] * 50), classes=("a", "b", "c"))

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
        (0.0, 0.0),
        (0.25, 0.5),
        (0.5, 1.0),
        (0.75, 1.0),
        (1.0, 1.0),
    ]


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.random(2000) < 0.3
    return labels, np.clip(labels * 0.2 + rng.random(2000) * 0.8, 0, 1)


def bound(labels, challenger, champion, metric="roc_auc", *, days=20) -> float:
    return paired_gain(
        binary(labels),
        challenger,
        champion,
        metric=metric,
        clusters=np.arange(len(labels)) % days,
    ).lower(0.95)


def test_with_one_row_a_cluster_it_is_delong_which_can_be_counted():
    """Four rows: every pair counted by hand, and the variance by its definition."""
    labels = np.array([True, True, False, False])
    ours, theirs = np.array([4.0, 2.0, 3.0, 1.0]), np.array([4.0, 3.0, 2.0, 1.0])

    found, error = obuchowski_gain(labels, ours, theirs, clusters=np.arange(4))

    assert found == pytest.approx(0.75 - 1.0)
    # Structural components of the first: positives 1, 0.5 and negatives 0.5, 1; of the second: 1.
    assert error == pytest.approx(np.sqrt(0.125 / 2 + 0.125 / 2))


def test_clusters_of_two_rows_can_be_counted():
    """The same four rows on two days: residuals by day -0.75 and 0.75 each way, by Obuchowski."""
    labels = np.array([True, True, False, False])
    ours, theirs = np.array([4.0, 2.0, 3.0, 1.0]), np.array([4.0, 3.0, 2.0, 1.0])

    _, error = obuchowski_gain(labels, ours, theirs, clusters=np.array([0, 1, 1, 0]))

    # Differences: positives 0 and -0.5, negatives -0.5 and 0; their mean -0.25; so by day of the
    # positives 0.25 and -0.25, of the negatives 0.25 and -0.25. I = 2 everywhere, M = N = 2.
    s10 = s01 = 2 / (1 * 2) * 2 * 0.25**2
    s11 = 2 / 1 * 2 * 0.25**2
    assert error == pytest.approx(np.sqrt(s10 / 2 + s01 / 2 + 2 * s11 / 4))


def by_days(labels, rng, *, days=25):
    """Two models that have an offset of their own on each of *days*."""
    day = np.arange(len(labels)) % days
    models = [
        labels + rng.normal(0, 0.5, days)[day] + rng.normal(0, 1, len(labels)) for _ in range(2)
    ]
    return day, *models


@pytest.mark.parametrize("metric", ["roc_auc", "brier_loss", "average_precision"])
def test_its_error_agrees_with_a_bootstrap_of_days(rows, metric):
    labels, _ = rows
    day, one, other = by_days(labels, np.random.default_rng(2))
    one, other = (1 / (1 + np.exp(-p)) for p in (one, other))
    rng, drawn = np.random.default_rng(3), []
    places = [np.flatnonzero(day == d) for d in range(25)]
    for _ in range(300):
        i = np.concatenate([places[d] for d in rng.integers(0, 25, 25)])
        drawn.append(
            gain(metric, *(measure(binary(labels[i]), p[i])[metric] for p in (one, other)))
        )

    if metric == "roc_auc":
        found, error = obuchowski_gain(labels, one, other, clusters=day)
    else:
        found, error = jackknifed_gain(binary(labels), one, other, metric=metric, clusters=day)

    wanted = gain(metric, *(measure(binary(labels), p)[metric] for p in (one, other)))
    assert found == pytest.approx(wanted)
    assert error == pytest.approx(np.std(drawn), rel=0.2)


def test_an_offset_of_a_whole_day_widens_the_error(rows):
    """What rows taken one by one do not see."""
    labels, _ = rows
    day, one, other = by_days(labels, np.random.default_rng(2), days=7)

    _, by_row = obuchowski_gain(labels, one, other, clusters=np.arange(len(labels)))
    _, by_day = obuchowski_gain(labels, one, other, clusters=day)

    assert by_day > 1.5 * by_row


@pytest.mark.parametrize("metric", ["mean_absolute_error", "root_mean_squared_error", "r2"])
def test_the_jackknife_of_numbers_agrees_with_a_bootstrap_of_days(metric):
    rng = np.random.default_rng(4)
    day = np.repeat(np.arange(25), 60)
    labels = rng.normal(size=len(day))
    one, other = (
        labels + rng.normal(0, 0.4, 25)[day] + rng.normal(0, 0.5, len(day)) for _ in range(2)
    )
    drawn = []
    for _ in range(300):
        i = np.concatenate([np.flatnonzero(day == d) for d in rng.integers(0, 25, 25)])
        drawn.append(
            gain(metric, *(measure(numbers(labels[i]), p[i])[metric] for p in (one, other)))
        )

    _, error = jackknifed_gain(numbers(labels), one, other, metric=metric, clusters=day)

    assert error == pytest.approx(np.std(drawn), rel=0.2)


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


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_loss"])
@pytest.mark.parametrize("positives", [0, 1, 50])
def test_what_too_few_of_a_class_say_has_no_bound(metric, positives):
    """One positive, or only positives: a single row would decide."""
    labels = np.arange(50) < positives
    ours = np.linspace(0.1, 0.9, 50)

    if metric == "brier_loss" and positives == 1:
        pytest.skip("the Brier score needs no pair of classes; leaving a day out changes little")
    assert math.isnan(bound(labels, ours, ours[::-1].copy(), metric))


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_loss"])
def test_one_day_has_no_bound(rows, metric):
    labels, good = rows
    worse = np.clip(good + np.random.default_rng(2).normal(0, 0.5, len(good)), 0.001, 0.999)

    assert math.isnan(bound(labels, good.clip(0.001, 0.999), worse, metric, days=1))


def test_the_number_and_the_order_of_the_rows_of_a_day_do_not_matter(rows):
    """Every row twice on the same day is no more evidence."""
    labels, good = rows
    worse = np.clip(good + np.random.default_rng(2).normal(0, 0.3, len(good)), 0, 1)
    day = np.arange(len(labels)) % 9
    mixed = np.random.default_rng(5).permutation(np.tile(np.arange(len(labels)), 2))

    once = obuchowski_gain(labels, good, worse, clusters=day)
    twice = obuchowski_gain(labels[mixed], good[mixed], worse[mixed], clusters=day[mixed])

    assert twice == pytest.approx(once)
