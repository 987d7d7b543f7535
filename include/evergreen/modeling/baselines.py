"""What a challenger must beat: the trivial answer, and a plain linear model of the same inputs."""

from __future__ import annotations

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from evergreen.modeling.metrics import Labels, Predictions
from evergreen.spec.data import Examples
from evergreen.spec.metrics import Metric

#: Rarer values of a category share one column.
MAX_VALUES = 50


def linear_baseline(examples: Examples, *, seed: int) -> Pipeline:
    """Return logistic or ridge regression on all inputs: numbers scaled, categories one-hot."""
    numbers = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
        ]
    )
    names = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_VALUES)
    columns = ColumnTransformer(
        [("numbers", numbers, list(examples.numeric)), ("names", names, list(examples.categorical))]
    )
    if examples.problem == "regression":
        model = Ridge(random_state=seed)
    else:
        model = LogisticRegression(max_iter=500, random_state=seed)
    return Pipeline([("columns", columns), ("model", model)])


def trivial_baseline(train: Labels, *, rows: int) -> Predictions:
    """
    Return for each of *rows* the same: the share of each class in *train*, or the median label.

    The median is the constant with the least absolute error.
    """
    if train.problem == "regression":
        return np.full(rows, np.median(train.values))
    if train.problem == "binary":
        return np.full(rows, train.values.mean())
    shares = np.bincount(train.values, minlength=len(train.classes)) / len(train)
    return np.tile(shares, (rows, 1))


def best_constant(truth: Labels, metric: Metric) -> Predictions:
    """
    Return the same answer for each row of *truth*: the one that is best on *metric* in hindsight.

    No model without information about single rows does better on those rows. For ROC-AUC and
    average precision every constant is worth the same.
    """
    if truth.problem == "regression":
        middle = np.median if metric == "mean_absolute_error" else np.mean
        return np.full(len(truth), middle(truth.values))
    return trivial_baseline(truth, rows=len(truth))
