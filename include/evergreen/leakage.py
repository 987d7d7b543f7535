"""Signs that a model was shown what it is asked for. Pure: examples in, checks out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.metrics import roc_auc_score

from evergreen.metrics import Truth
from evergreen.receipts import Check
from evergreen.spec import ModelSpec

#: With fewer rows than this on either side of a question its answer is chance.
MIN_ROWS = 50


def check_leaks(
    spec: ModelSpec, *, train: pd.DataFrame, test: pd.DataFrame, truth: Truth
) -> Iterator[Check]:
    """
    Yield one check per way in which the test rows can be known beforehand.

    :param train: Rows the model learnt from; only entity key and event time are looked at.
    :param test: Rows it is judged on.
    :param truth: Their labels.
    """
    event = [*spec.examples.entity_key, spec.examples.event_time]
    shared = len(test[event].merge(train[event].drop_duplicates(), on=event))
    yield Check(
        name="leak: test events seen in training",
        status="passed" if shared == 0 else "failed",
        measured=str(shared),
        required="0",
    )
    name, auc = strongest_input(spec, test, truth=truth)
    yield Check(
        name="leak: an input that is the label",
        status="passed" if auc <= spec.gates.max_input_auc else "failed",
        measured=f"{name} alone orders {auc:.4f} of all pairs",
        required=f"<= {spec.gates.max_input_auc:g}",
    )


def strongest_input(spec: ModelSpec, rows: pd.DataFrame, *, truth: Truth) -> tuple[str, float]:
    """
    Return the input that orders the rows best all by itself, and the share of pairs it orders.

    0.5 is chance and 1 is the label itself: ROC-AUC for classes, each against the rest, and
    Kendall's concordance for numbers. A category stands for the mean label it has in the other half
    of the rows. Whether the value is missing counts as a number of its own: labels often leak so.
    """
    targets = list(_targets(truth))
    found = {
        name: max(_alone(rows[name], target) for target in targets)
        for name in spec.examples.features
    }
    name = max(found, key=lambda key: found[key])
    return name, found[name]


def _targets(truth: Truth) -> Iterator[NDArray[Any]]:
    if truth.problem != "multiclass":
        yield truth.values
        return
    yield from (truth.values == code for code in range(len(truth.classes)))


def _alone(values: pd.Series, target: NDArray[Any]) -> float:
    missing = values.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        given = _order(values.to_numpy(dtype="float64")[~missing], target[~missing])
    else:
        given = _order(_cross_encoded(values, target)[~missing], target[~missing])
    return max(given, _order(missing.astype("float64"), target))


def _cross_encoded(values: pd.Series, target: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each row the mean label its value has in the other half of the rows."""
    encoded = np.full(len(values), target.mean(), dtype="float64")
    half = np.arange(len(values)) % 2
    for side in (0, 1):
        means = pd.Series(target[half != side]).groupby(values[half != side].to_numpy()).mean()
        encoded[half == side] = values[half == side].map(means).fillna(target.mean())
    return encoded


def _order(scores: NDArray[np.float64], target: NDArray[Any]) -> float:
    """Return the share of pairs that *scores* order as *target* does, or the other way round."""
    if target.dtype == bool:
        if min(target.sum(), len(target) - target.sum()) < MIN_ROWS:
            return 0.5
        auc = float(roc_auc_score(target, scores))
        return max(auc, 1 - auc)
    if len(target) < MIN_ROWS or (scores == scores[0]).all():
        return 0.5
    return 0.5 + abs(float(kendalltau(scores, target).statistic)) / 2
