"""Signs that an input holds the label. Pure: examples in, checks out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata
from sklearn.metrics import roc_auc_score

from evergreen.modeling.metrics import Labels
from evergreen.receipts.common import Check, Status
from evergreen.spec import ModelSpec

#: With fewer rows than this on either side of a question it has no answer. With as many, an input
#: that knows nothing orders 0.99 of all pairs less than once in ten million times.
MIN_ROWS = 10
#: An input with too few values to be measured is measured by its absence alone beyond this.
SPARSE_IS_TOLD_BY = 0.9
LABEL_AMONG_INPUTS = "leak: an input that is the label"


def check_leaks(
    spec: ModelSpec, *, train: pd.DataFrame, test: pd.DataFrame, truth: Labels
) -> Iterator[Check]:
    """
    Yield one check per way in which the test rows can be known beforehand.

    :param train: Rows the model learnt from; only entity key and event time are looked at.
    :param test: Rows of the test days.
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
    yield _label_among_inputs(spec, test, truth=truth)


def _label_among_inputs(spec: ModelSpec, test: pd.DataFrame, *, truth: Labels) -> Check:
    """Hold each input against the label; what could not be measured is never called passed."""
    found = input_orders(spec, test, truth=truth)
    name, auc = _strongest(found)
    absent = [name for name, order in found.items() if math.isnan(order)]
    absent += [f"class {name}" for name in _rare_classes(truth)]
    most = spec.gates.max_input_auc
    required = f"<= {most:g}"
    if math.isnan(auc):
        return Check(
            name=LABEL_AMONG_INPUTS,
            status="failed",
            measured=f"not measured: {len(truth)} test rows, too few of one label",
            required=f"{required}; at least {MIN_ROWS} rows of each class, or of different numbers",
        )
    measured = f"{name} alone orders {auc:.4f} of all pairs"
    if absent:
        measured += f"; not measured, too few values: {', '.join(absent)}"
    is_met = auc <= most
    status: Status = "failed" if not is_met else "unknown" if absent else "passed"
    return Check(name=LABEL_AMONG_INPUTS, status=status, measured=measured, required=required)


def _rare_classes(truth: Labels) -> list[str]:
    counts = np.bincount(truth.values, minlength=len(truth.classes)) if truth.classes else ()
    return [name for name, count in zip(truth.classes, counts, strict=True) if count < MIN_ROWS]


def strongest_input(spec: ModelSpec, rows: pd.DataFrame, *, truth: Labels) -> tuple[str, float]:
    """Return the input that orders the rows best all by itself, as :func:`input_orders` does."""
    return _strongest(input_orders(spec, rows, truth=truth))


def _strongest(orders: dict[str, float]) -> tuple[str, float]:
    return max(orders.items(), key=lambda one: -1.0 if math.isnan(one[1]) else one[1])


def input_orders(spec: ModelSpec, rows: pd.DataFrame, *, truth: Labels) -> dict[str, float]:
    """
    Return for each input the share of pairs of *rows* that it orders all by itself.

    0.5 is chance and 1 is the label itself: ROC-AUC for classes, each against the rest, and
    Kendall's concordance for numbers. A category stands for the mean label it has in the other half
    of the rows. Whether the value is missing counts as a number of its own: labels often leak so.

    :return: NaN for an input with too few values on a side of every question, or too few rows of
        every class.
    """
    targets = list(_targets(truth))
    return {
        name: _largest(_alone(rows[name], target) for target in targets)
        for name in spec.examples.features
    }


def _largest(numbers: Iterable[float]) -> float:
    """Return the largest number, NaN if there is none."""
    return max((one for one in numbers if not math.isnan(one)), default=math.nan)


def _targets(truth: Labels) -> Iterator[NDArray[Any]]:
    if truth.problem != "multiclass":
        yield truth.values
        return
    yield from (truth.values == code for code in range(len(truth.classes)))


def _alone(values: pd.Series, target: NDArray[Any]) -> float:
    """Return the larger order of the values and of their being missing; NaN if neither has one."""
    missing = values.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        given = _order(values.to_numpy(dtype="float64")[~missing], target[~missing])
    else:
        given = _order(_cross_encoded(values, target)[~missing], target[~missing])
    absence = _order(missing.astype("float64"), target)
    # An input that is always there has no absence to learn from, one that never is no value.
    if math.isnan(given) and 0 < missing.sum() < len(missing):
        return absence if absence > SPARSE_IS_TOLD_BY else math.nan
    return _largest([given, absence])


def _cross_encoded(values: pd.Series, target: NDArray[Any]) -> NDArray[np.float64]:
    """Return for each row the mean label its value has in the other half of the rows."""
    encoded = np.full(len(values), target.mean(), dtype="float64")
    # Random halves: labels that alternate from row to row would fall into one half each.
    half = np.random.default_rng(0).permutation(len(values)) % 2
    for side in (0, 1):
        means = pd.Series(target[half != side]).groupby(values[half != side].to_numpy()).mean()
        encoded[half == side] = values[half == side].map(means).fillna(target.mean())
    return encoded


def _order(scores: NDArray[np.float64], target: NDArray[Any]) -> float:
    """
    Return the share of pairs that *scores* order as *target* does, or the other way round.

    :return: NaN if *target* has too few rows on a side.
    """
    if target.dtype == bool:
        if min(target.sum(), len(target) - target.sum()) < MIN_ROWS:
            return math.nan
        auc = float(roc_auc_score(target, rankdata(scores)))
        return max(auc, 1 - auc)
    if len(target) < MIN_ROWS or (target == target[0]).all():
        return math.nan
    if (scores == scores[0]).all():
        return 0.5
    return 0.5 + abs(float(kendalltau(scores, target).statistic)) / 2
