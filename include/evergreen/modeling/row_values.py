"""
Metrics that are a mean over rows, row by row.

Sums per cluster then give such a metric without any one cluster at no further cost. Each function
agrees with the one of scikit-learn that ``METRIC_DEFINITIONS`` names for its metric.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RowFunction = Callable[[NDArray[Any], Values], Values]


def squared_error(labels: NDArray[Any], predictions: Values) -> Values:
    """
    Return the squared error of each row; of several classes the sum over them, of two the half.

    So does scikit-learn, whose Brier score of two classes is that of one of them.
    """
    if predictions.ndim == 1:
        return (labels - predictions) ** 2
    actual = np.eye(predictions.shape[1])[labels]
    sums: Values = ((actual - predictions) ** 2).sum(axis=1)
    return sums / 2 if predictions.shape[1] == 2 else sums


def absolute_error(labels: NDArray[Any], predictions: Values) -> Values:
    """Return the absolute error of each row."""
    return np.abs(labels - predictions)


def negative_log_likelihood(labels: NDArray[Any], predictions: Values) -> Values:
    """Return minus the logarithm of the probability that each row's label was given."""
    if predictions.ndim == 1:
        predictions = np.column_stack([1 - predictions, predictions])
    eps = np.finfo(predictions.dtype).eps
    # Both steps of scikit-learn: clip, then take each row as shares of its sum.
    shares = np.clip(predictions, eps, 1 - eps)
    shares /= shares.sum(axis=1, keepdims=True)
    losses: Values = -np.log(shares[np.arange(len(labels)), labels.astype(int)])
    return losses


def is_likeliest(labels: NDArray[Any], predictions: Values) -> Values:
    """Return 1 for each row whose likeliest class is its label, else 0."""
    found: Values = (predictions.argmax(axis=1) == labels).astype(np.float64)
    return found


#: The function of each metric that is a mean of it; the root of a mean for those in ROOTS.
ROW_FUNCTIONS: dict[str, RowFunction] = {
    "brier_loss": squared_error,
    "log_loss": negative_log_likelihood,
    "accuracy": is_likeliest,
    "mean_absolute_error": absolute_error,
    "root_mean_squared_error": squared_error,
}
ROOTS = ("root_mean_squared_error",)


def values_without(
    metric: str,
    labels: NDArray[Any],
    predictions: Values,
    *,
    clusters: NDArray[np.int64],
) -> Values:
    """
    Return *metric* of the rows without each cluster in turn.

    :param metric: One of ROW_FUNCTIONS.
    :param clusters: Shape ``(rows,)``; numbers from 0 without gaps, at least two of them.
    :return: Shape ``(clusters,)``.
    """
    rows = ROW_FUNCTIONS[metric](labels, predictions)
    sums, counts = np.bincount(clusters, weights=rows), np.bincount(clusters)
    means: Values = (sums.sum() - sums) / (counts.sum() - counts)
    return np.sqrt(np.maximum(means, 0.0)) if metric in ROOTS else means


def differ_without_each(labels: NDArray[Any], *, clusters: NDArray[np.int64]) -> bool:
    """
    Return whether the rows without a cluster still have two different labels, for every cluster.

    It takes no memory or time for each cluster, of which there may be as many as rows.

    :param clusters: Shape ``(rows,)``, as *labels*; the number of the cluster of each row.
    """
    others = labels != labels[0]
    if len(np.unique(clusters[others])) < 2:
        return False  # all others are in one cluster, or there are none
    left = labels[clusters != clusters[0]]  # without the first label, the others may be alike
    return bool((left != left[0]).any())
