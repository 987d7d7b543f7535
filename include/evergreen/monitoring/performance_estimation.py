"""
What quality the scores themselves promise, while labels are not there yet.

CBPE: if a score of 0.3 comes true in three of ten cases, then the expected value of every cell of
the confusion matrix, and with them of a metric, follows from the scores alone (Bialek et al.,
"Estimating Model Performance Under Covariate Shift Without Labels", arXiv:2401.08348; NannyML's
"confidence-based performance estimation"). It sees what moves the inputs, and is blind to a world
in which the same inputs come to mean something else: an estimate, and marked as one.

Pure: predictions in, numbers out.
"""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

from evergreen.modeling.metrics import Labels, Predictions, function_of
from evergreen.spec.data import Problem
from evergreen.spec.metrics import METRIC_DEFINITIONS, Metric, metrics_of

#: Scores are calibrated on no fewer labelled rows than this, and taken as they are before.
MIN_CALIBRATION_ROWS = 500
#: Groups of like predictions whose errors are taken together.
ERROR_GROUPS = 20


def expected_metrics(
    predictions: Predictions, chances: Predictions, *, problem: Problem
) -> dict[Metric, float | None]:
    """
    Return the expected value of every metric of *predictions*.

    Each row counts once for every class, weighted with the chance of that class.

    :param predictions: Shape ``(rows,)``, or ``(rows, classes)``.
    :param chances: Calibrated *predictions*, same shape.
    :return: None for a regression, whose predictions say nothing of their own error, and where all
        chances are on one side.
    """
    if problem == "regression":
        return dict.fromkeys(metrics_of(problem))
    if problem == "binary":
        chances = np.column_stack([1 - chances, chances])
    rows, classes = chances.shape
    labels, weights = np.tile(np.arange(classes), rows), chances.ravel()
    if np.count_nonzero(chances.sum(axis=0)) < 2:
        return dict.fromkeys(metrics_of(problem))
    predicted = np.repeat(predictions, classes, axis=0)
    found: dict[Metric, float | None] = {}
    for metric in metrics_of(problem):
        needs_classes = METRIC_DEFINITIONS[metric].needs_classes
        known = {"labels": np.arange(classes)} if needs_classes else {}
        of = predicted
        if problem == "multiclass" and not known:
            of = predicted.argmax(axis=1)
        found[metric] = float(function_of(metric)(labels, of, sample_weight=weights, **known))
    return found


def expected_errors(
    truth: Labels, predictions: Predictions, *, to: Predictions
) -> dict[Metric, float | None]:
    """
    Return the expected errors of the numbers *to*, by the errors of like predictions before.

    Direct loss estimation with the prediction itself as the only feature: the mean absolute and the
    mean squared error of twenty groups of *predictions* of equal size, looked up for each of *to*
    (NannyML's "DLE", https://nannyml.readthedocs.io, has a model of all features in its place).

    :param truth: Labels of *predictions*, of rows that are not among those of *to*.
    :return: None for a metric that cannot be estimated so, and for all if fewer than 500 rows are
        known.
    """
    found: dict[Metric, float | None] = dict.fromkeys(metrics_of("regression"))
    if len(truth) < MIN_CALIBRATION_ROWS or not len(to):
        return found
    edges = np.unique(np.quantile(predictions, np.linspace(0, 1, ERROR_GROUPS + 1)[1:-1]))
    group, wanted = np.digitize(predictions, edges), np.digitize(to, edges)
    counts = np.maximum(np.bincount(group, minlength=len(edges) + 1), 1)
    errors = truth.values - predictions
    absolute, squared = (
        np.bincount(group, weights=values, minlength=len(edges) + 1) / counts
        for values in (np.abs(errors), errors**2)
    )
    found["mean_absolute_error"] = float(absolute[wanted].mean())
    found["root_mean_squared_error"] = float(np.sqrt(squared[wanted].mean()))
    return found


def calibrated(truth: Labels, predictions: Predictions, *, to: Predictions) -> Predictions:
    """
    Return *to* as chances, by what became of like *predictions* before; as they are if few.

    Isotonic regression, class by class (Zadrozny and Elkan, "Transforming Classifier Scores into
    Accurate Multiclass Probability Estimates", KDD 2002).

    :param truth: Labels of *predictions*, of rows that are not among those of *to*.
    """
    if truth.problem == "regression" or len(truth) < MIN_CALIBRATION_ROWS:
        return to
    if truth.problem == "binary":
        return _isotonic(truth.values.astype(float), predictions, to=to)
    columns = [
        _isotonic((truth.values == code).astype(float), predictions[:, code], to=to[:, code])
        for code in range(to.shape[1])
    ]
    chances = np.column_stack(columns)
    total = chances.sum(axis=1, keepdims=True)
    return np.where(total > 0, chances / np.where(total > 0, total, 1), to)


def _isotonic(actual: Predictions, predicted: Predictions, *, to: Predictions) -> Predictions:
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(predicted, actual)
    return np.asarray(curve.predict(to), dtype=np.float64)
