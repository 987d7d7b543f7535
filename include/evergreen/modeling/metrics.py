"""Numbers that say how good predictions are. Pure: labels and predictions in, floats out."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evergreen.spec.data import Examples, Problem
from evergreen.spec.metrics import METRIC_DEFINITIONS, Metric, metrics_of

Predictions = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """
    The labels predictions are held against.

    ``values`` has shape ``(rows,)``: True for the positive class, the position of the class among
    ``classes``, or a number, as ``problem`` asks.
    """

    problem: Problem
    values: NDArray[Any]
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: pd.DataFrame, *, spec: Examples, classes: tuple[str, ...] = ()) -> Labels:
        """
        Take the labels of *rows*.

        :param classes: All classes of a multi-class problem, sorted; those of *rows* if empty.
        """
        label = rows[spec.label]
        if spec.problem != "multiclass":
            kind = bool if spec.problem == "binary" else np.float64
            return cls(problem=spec.problem, values=label.to_numpy(dtype=kind))
        classes = classes or classes_among(spec, label)
        codes = pd.Categorical(label, categories=list(classes)).codes
        return cls(problem=spec.problem, values=np.asarray(codes), classes=classes)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, positions: NDArray[Any]) -> Labels:
        """Return the labels at *positions*, a mask or row numbers."""
        return Labels(problem=self.problem, values=self.values[positions], classes=self.classes)

    @property
    def is_measurable(self) -> bool:
        """Whether there is a difference between rows that a model could find."""
        return len(self.values) > 0 and bool((self.values != self.values[0]).any())


def classes_among(spec: Examples, *labels: Iterable[str]) -> tuple[str, ...]:
    """Return every class among *labels*, sorted; none unless the problem has several."""
    if spec.problem != "multiclass":
        return ()
    return tuple(sorted({str(name) for some in labels for name in some}))


def measure(truth: Labels, predictions: Predictions) -> dict[Metric, float]:
    """
    Return every metric the problem knows.

    :param predictions: Shape ``(rows,)``, or ``(rows, classes)`` for a multi-class problem.
    :return: NaN for every metric if a prediction is not a finite number, or all labels are alike.
    """
    return {metric: value(truth, metric, predictions) for metric in metrics_of(truth.problem)}


def bad_rows(predictions: Predictions) -> int:
    """Return the number of rows with a prediction that is not finite."""
    is_finite = np.isfinite(predictions.reshape(len(predictions), -1))
    return int(np.count_nonzero(~is_finite.all(axis=1)))


def merit(metric: Metric, value: float) -> float:
    """Return *value* so that more is better."""
    return -value if METRIC_DEFINITIONS[metric].lower_is_better else value


def gain(metric: Metric, of: float, over: float) -> float:
    """
    Return how much better *of* is than *over*: positive is better, for scores and losses.

    A share of *over* for an error in the label's own units, else a plain difference.
    """
    better = over - of if METRIC_DEFINITIONS[metric].lower_is_better else of - over
    if not METRIC_DEFINITIONS[metric].in_label_units:
        return better
    return better / over if over > 0 else float(np.sign(better))


def skill(metric: Metric, of: float, over: float) -> float:
    """
    Return how much better *of* is than *over* as a share of what *over* leaves to gain.

    Of a loss its share, 1 - of/over: the skill score of forecasting (Murphy, "Skill Scores Based on
    the Mean Square Error", Monthly Weather Review 116(12), 1988). Of the accuracy the share of the
    errors; of the average precision the share of *over*, or of what that lacks to 1, if it is less:
    so that rare classes can reach a margin. Of other metrics it is the difference.
    """
    definition = METRIC_DEFINITIONS[metric]
    better = merit(metric, of) - merit(metric, over)
    if definition.lower_is_better:
        whole = over
    elif definition.skill_of == "difference":
        return better
    else:
        whole = 1 - over if definition.skill_of == "errors" else min(over, 1 - over)
    return better / whole if whole > 0 else float(np.sign(better))


def calibration_error(truth: Labels, predictions: Predictions, *, bins: int = 10) -> float:
    """
    Return how far predictions are from what happens, on average.

    Probabilities are put into *bins* groups of about equal size; the error is the mean, weighted by
    rows, of the distance between mean probability and share of positives (Naeini, Cooper and
    Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015). With
    several classes it is that of the class held most probable (Guo et al., "On Calibration of
    Modern Neural Networks", ICML 2017). Of numbers it is the mean error as a share of the label's
    standard deviation.
    """
    if truth.problem == "regression":
        return float(abs(np.mean(predictions - truth.values)) / np.std(truth.values))
    residuals, groups = calibration_residuals(truth, predictions, bins=bins)
    return float(np.abs(np.bincount(groups, weights=residuals)).sum() / len(truth))


def calibration_residuals(
    truth: Labels, predictions: Predictions, *, bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """
    Return what :func:`calibration_error` is made of: actual less predicted, and each row's group.

    :return: Two arrays of shape ``(rows,)``. Of numbers, all rows are one group.
    """
    if truth.problem == "regression":
        return truth.values - predictions, np.zeros(len(truth), dtype=np.int64)
    predicted, actual = _predicted_and_actual(truth, predictions)
    groups = np.empty(len(truth), dtype=np.int64)
    for number, rows in enumerate(np.array_split(np.argsort(predicted, kind="stable"), bins)):
        groups[rows] = number
    return actual - predicted, groups


def calibration_curve(
    truth: Labels, predictions: Predictions, *, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return per group of rows, low to high: mean predicted, mean actual, and number of rows."""
    predicted, actual = _predicted_and_actual(truth, predictions)
    groups = np.array_split(np.argsort(predicted, kind="stable"), bins)
    return [(float(predicted[g].mean()), float(actual[g].mean()), len(g)) for g in groups if len(g)]


def lift_curve(
    truth: Labels, predictions: Predictions, *, points: int = 20
) -> list[tuple[float, float]]:
    """
    Return the share of all positives (or of the label's sum) among the highest predictions.

    :return: ``(share of rows, share of positives)`` from 0 to 1; empty where it means nothing: for
        several classes, or labels of both signs.
    """
    if truth.problem == "multiclass" or (truth.values < 0).any() or not truth.values.any():
        return []
    ordered = np.cumsum(truth.values[np.argsort(-predictions, kind="stable")].astype(np.float64))
    ends = np.linspace(0, len(truth), points + 1).round().astype(int)
    reached = np.concatenate([[0.0], ordered])[ends]
    return [
        (float(e / len(truth)), float(r / ordered[-1])) for e, r in zip(ends, reached, strict=True)
    ]


def _predicted_and_actual(
    truth: Labels, predictions: Predictions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if truth.problem == "multiclass":
        likeliest = predictions.argmax(axis=1)
        return predictions.max(axis=1), (likeliest == truth.values).astype(np.float64)
    return predictions, truth.values.astype(np.float64)


def value(truth: Labels, metric: Metric, predictions: Predictions) -> float:
    """Return one metric, as :func:`measure` does all."""
    if not (truth.is_measurable and np.isfinite(predictions).all()):
        return float("nan")
    function = function_of(metric)
    if truth.problem != "multiclass":
        return float(function(truth.values, predictions))
    if METRIC_DEFINITIONS[metric].needs_classes:
        codes = np.arange(len(truth.classes))
        return float(function(truth.values, predictions, labels=codes))
    return float(function(truth.values, predictions.argmax(axis=1)))


@cache
def function_of(metric: Metric) -> Callable[..., float]:
    """Return the function of *metric*, imported by the name in its definition."""
    module, _, name = METRIC_DEFINITIONS[metric].function.rpartition(".")
    function: Callable[..., float] = getattr(importlib.import_module(module), name)
    return function
