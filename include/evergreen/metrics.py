"""Numbers that say how good scores are. Pure: labels and scores in, floats out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from evergreen.spec.policy import Metric

FUNCTIONS: dict[Metric, Any] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_loss": brier_score_loss,
    "log_loss": log_loss,
}

#: Metrics of which less is better.
LOSSES = ("brier_loss", "log_loss")

Labels = NDArray[np.bool_]
Scores = NDArray[np.float64]


def measure(labels: Labels, scores: Scores) -> dict[Metric, float]:
    """
    Return every metric of *scores* against *labels*.

    :param labels: Shape ``(rows,)``, True for the positive class; both classes must occur.
    :param scores: Shape ``(rows,)``, estimated probability of the positive class.
    """
    return {metric: float(function(labels, scores)) for metric, function in FUNCTIONS.items()}


def gain(metric: Metric, of: float, over: float) -> float:
    """Return how much better *of* is than *over*: positive is better, for scores and losses."""
    return over - of if metric in LOSSES else of - over


def calibration_error(labels: Labels, scores: Scores, *, bins: int = 10) -> float:
    """
    Return the expected calibration error of *scores*, in probability.

    Rows are put into *bins* groups of about equal size by score; the error is the mean, weighted
    by rows, of the distance between mean score and share of positives (Naeini, Cooper and
    Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015).
    """
    groups = np.array_split(np.argsort(scores, kind="stable"), bins)
    gaps = [abs(scores[g].mean() - labels[g].mean()) * len(g) for g in groups if len(g)]
    return float(sum(gaps) / len(scores))


def bootstrap_gain(
    labels: Labels,
    challenger: Scores,
    champion: Scores,
    *,
    metric: Metric,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """
    Return the challenger's gain over the champion and its one-sided lower confidence bound.

    Percentile bootstrap of the paired difference: both models are measured on the same resampled
    rows (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). Resamples
    that hold one class only are drawn again by skipping them.

    :param labels: Shape ``(rows,)``; *challenger* and *champion* have the same shape.
    :raises ValueError: If no resample held both classes.
    """
    rng = np.random.default_rng(seed)
    function = FUNCTIONS[metric]
    found = gain(metric, function(labels, challenger), function(labels, champion))
    gains = []
    for _ in range(resamples):
        rows = rng.integers(0, len(labels), len(labels))
        if 0 < labels[rows].sum() < len(rows):
            ours, theirs = (function(labels[rows], s[rows]) for s in (challenger, champion))
            gains.append(gain(metric, ours, theirs))
    if not gains:
        raise ValueError(f"None of {resamples} resamples of {len(labels)} rows held both classes.")
    return float(found), float(np.quantile(gains, 1 - confidence))
