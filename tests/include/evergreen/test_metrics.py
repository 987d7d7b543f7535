from __future__ import annotations

import numpy as np
import pytest

from evergreen.metrics import bootstrap_gain, calibration_error, gain, measure

LABELS = np.array([False, False, True, True])


def test_metrics_of_a_perfect_order():
    assert measure(LABELS, np.array([0.1, 0.2, 0.8, 0.9])) == pytest.approx(
        {"roc_auc": 1.0, "average_precision": 1.0, "brier_loss": 0.025, "log_loss": 0.164252},
        abs=1e-6,
    )


def test_gain_is_positive_when_better_for_scores_and_for_losses():
    assert gain("roc_auc", 0.7, 0.6) == pytest.approx(0.1)
    assert gain("log_loss", 0.5, 0.6) == pytest.approx(0.1)


def test_calibration_error_of_scores_that_say_too_much():
    labels = np.tile([True, False], 50)

    assert calibration_error(labels, np.full(100, 0.5), bins=5) == pytest.approx(0.0)
    assert calibration_error(labels, np.full(100, 0.9), bins=5) == pytest.approx(0.4)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.random(2000) < 0.3
    return labels, np.clip(labels * 0.2 + rng.random(2000) * 0.8, 0, 1)


def bound(labels, challenger, champion) -> float:
    return bootstrap_gain(
        labels, challenger, champion, metric="roc_auc", confidence=0.95, resamples=200, seed=0
    )[1]


def test_a_clearly_better_model_has_a_positive_bound(rows):
    labels, good = rows
    worse = np.clip(good + np.random.default_rng(2).normal(0, 0.5, len(good)), 0, 1)

    assert bound(labels, good, worse) > 0.02
    assert bound(labels, worse, good) < 0


def test_the_same_scores_have_no_gain(rows):
    labels, good = rows

    assert bound(labels, good, good) == 0


def test_the_bound_is_the_same_each_time(rows):
    labels, good = rows

    assert bound(labels, good, good**2) == bound(labels, good, good**2)


def test_one_class_has_no_bound():
    with pytest.raises(ValueError, match="held both classes"):
        bound(np.ones(50, dtype=bool), np.linspace(0, 1, 50), np.linspace(0, 1, 50))
