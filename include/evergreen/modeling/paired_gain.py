"""
The gain of one model over another on the same rows, and how sure it is.

Rows of one cluster, such as a day, may depend on each other in any way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from evergreen.modeling.metrics import Labels, Predictions, bad_rows, gain, value
from evergreen.modeling.row_values import ROW_FUNCTIONS, differ_without_each, values_without
from evergreen.spec.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class PairedGain:
    """
    The gain of one model over another on the same rows, and its cluster-robust standard error.

    Bounds are one-sided, by Student's t with one degree of freedom less than there are clusters
    (Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference", Journal of Human
    Resources 50(2), 2015). NaN is what could not be measured.
    """

    gain: float
    error: float
    clusters: int

    def lower(self, confidence: float) -> float:
        """Return the gain that the true one exceeds at *confidence*."""
        return self.gain - self._reach(confidence)

    def upper(self, confidence: float) -> float:
        """Return the gain that the true one stays below at *confidence*."""
        return self.gain + self._reach(confidence)

    @property
    def p_no_worse(self) -> float:
        """The p-value of the hypothesis that the true gain is 0 or more; NaN if not measured."""
        if self.clusters < 2 or not math.isfinite(self.error):
            return math.nan
        if self.error == 0:
            return 0.0 if self.gain < 0 else 1.0
        return float(stats.t.cdf(self.gain / self.error, self.clusters - 1))

    def corrected(self, confidence: float) -> float:
        """
        Return the gain corrected for being shown only because its lower bound is above 0.

        The median-unbiased estimate under that condition (Zhong and Prentice, "Bias-Reduced
        Estimators and Confidence Intervals for Odds Ratios in Genome-Wide Association Studies",
        Biostatistics 9(4), 2008), with the error taken as known; at least 0. A gain far above what
        was needed hardly changes.
        """
        if not self.lower(confidence) > 0:
            return math.nan
        if self.error == 0:
            return self.gain
        found, needed = self.gain / self.error, self._reach(confidence) / self.error

        def excess(true: float) -> float:
            """Return the chance of less than was found, if enough was found, less 1/2."""
            return 0.5 - math.exp(stats.norm.logsf(found - true) - stats.norm.logsf(needed - true))

        if excess(0.0) <= 0:
            return 0.0
        return float(optimize.brentq(excess, 0.0, found)) * self.error

    def _reach(self, confidence: float) -> float:
        if self.clusters < 2:
            return math.nan
        return float(stats.t.ppf(confidence, self.clusters - 1)) * self.error


def paired_gain(
    truth: Labels,
    challenger: Predictions,
    champion: Predictions,
    *,
    metric: Metric,
    clusters: NDArray[np.int64],
) -> PairedGain:
    """
    Return the challenger's gain over the champion on the same rows.

    Rows of one cluster, such as a day, may depend on each other in any way; clusters are taken as
    independent. The error is that of :func:`obuchowski_gain` for ROC-AUC and of
    :func:`jackknifed_gain` for every other metric. Without any difference both are 0.

    :param clusters: Shape ``(rows,)``; the number of the cluster of each row.
    :return: With NaN as error if it cannot be measured: a class in one cluster only. Both are NaN
        if a prediction is not finite.
    """
    count = len(np.unique(clusters))
    if bad_rows(challenger) or bad_rows(champion):
        return PairedGain(gain=math.nan, error=math.nan, clusters=count)
    if np.array_equal(challenger, champion):
        return PairedGain(gain=0.0, error=0.0, clusters=max(count, 2))
    if metric == "roc_auc":
        found, error = obuchowski_gain(truth.values, challenger, champion, clusters=clusters)
    else:
        found, error = jackknifed_gain(
            truth, challenger, champion, metric=metric, clusters=clusters
        )
    return PairedGain(gain=found, error=error, clusters=count)


def obuchowski_gain(
    labels: NDArray[np.bool_],
    challenger: Predictions,
    champion: Predictions,
    *,
    clusters: NDArray[np.int64],
) -> tuple[float, float]:
    """
    Return the difference of two ROC-AUCs of clustered rows, and its standard error.

    Obuchowski, "Nonparametric Analysis of Clustered ROC Curve Data", Biometrics 53(2), 1997, on
    differences of the structural components. They come from mid-ranks (Sun and Xu, "Fast
    Implementation of DeLong's Algorithm for Comparing the Areas Under Correlated Receiver Operating
    Characteristic Curves", IEEE Signal Processing Letters 21(11), 2014). With one row in each
    cluster it is DeLong's estimator.

    :param labels: Shape ``(rows,)``.
    :param clusters: Shape ``(rows,)``; the number of the cluster of each row.
    :return: NaN for what cannot be measured: the difference if a class has no row, the error unless
        both classes occur in two clusters.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if min(positives, negatives) == 0:
        return float("nan"), float("nan")
    ours, theirs = _structural(labels, challenger), _structural(labels, champion)
    found = float((ours - theirs)[labels].mean())
    residuals = ours - theirs - found
    names, numbers = np.unique(clusters, return_inverse=True)
    count = len(names)
    above = np.bincount(numbers[labels], weights=residuals[labels], minlength=count)
    below = np.bincount(numbers[~labels], weights=residuals[~labels], minlength=count)
    with_above, with_below = (len(np.unique(numbers[side])) for side in (labels, ~labels))
    if min(with_above, with_below) < 2:
        return found, float("nan")
    variance = float(
        with_above / (with_above - 1) * (above @ above) / positives**2
        + with_below / (with_below - 1) * (below @ below) / negatives**2
        + 2 * count / (count - 1) * (above @ below) / (positives * negatives)
    )
    return found, math.sqrt(max(variance, 0.0))


def jackknifed_gain(
    truth: Labels,
    challenger: Predictions,
    champion: Predictions,
    *,
    metric: Metric,
    clusters: NDArray[np.int64],
) -> tuple[float, float]:
    """
    Return the gain on *metric* and its standard error, each cluster left out in turn.

    The cluster jackknife, CV3 (MacKinnon, Nielsen and Webb, "Fast and reliable jackknife and
    bootstrap methods for cluster-robust inference", Journal of Applied Econometrics 38(5), 2023).

    :param clusters: Shape ``(rows,)``; the number of the cluster of each row.
    :return: NaN for what cannot be measured: the error if there is one cluster, or if the rows
        without one of them have only one label.
    """
    if not truth.is_measurable:
        return float("nan"), float("nan")
    found = gain(metric, *(value(truth, metric, p) for p in (challenger, champion)))
    names, numbers = np.unique(clusters, return_inverse=True)
    count = len(names)
    is_measurable = differ_without_each(truth.values, clusters=numbers)
    if not (is_measurable and math.isfinite(found)):
        return found, float("nan")
    ours, theirs = (
        _values_without_each(truth, metric, p, numbers=numbers) for p in (challenger, champion)
    )
    without = np.array([gain(metric, *values) for values in zip(ours, theirs, strict=True)])
    return found, float(np.sqrt((count - 1) / count * np.sum((without - found) ** 2)))


def _structural(labels: NDArray[np.bool_], scores: Predictions) -> NDArray[np.float64]:
    """Return for each row the share of the other class that it is ordered rightly with."""
    found = np.empty(len(scores))
    every, positives = stats.rankdata(scores), int(labels.sum())
    negatives = len(labels) - positives
    found[labels] = (every[labels] - stats.rankdata(scores[labels])) / negatives
    found[~labels] = 1 - (every[~labels] - stats.rankdata(scores[~labels])) / positives
    return found


def _values_without_each(
    truth: Labels, metric: Metric, predictions: Predictions, *, numbers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return *metric* without each cluster in turn; *numbers* are from 0 without gaps."""
    if metric in ROW_FUNCTIONS:
        return values_without(metric, truth.values, predictions, clusters=numbers)
    left = (numbers != number for number in range(numbers.max() + 1))
    return np.array([value(truth.take(rows), metric, predictions[rows]) for rows in left])
