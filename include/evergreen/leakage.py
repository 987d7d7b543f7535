"""Signs that a model was shown what it is asked for. Pure: examples in, checks out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from evergreen.receipts import Check
from evergreen.spec import ModelSpec

#: With fewer rows than this on either side of a question its answer is chance.
MIN_ROWS = 50


def check_leaks(spec: ModelSpec, *, train: pd.DataFrame, test: pd.DataFrame) -> Iterator[Check]:
    """
    Yield one check per way in which the test rows can be known beforehand.

    :param train: Rows the model learnt from; only entity key and event time are looked at.
    :param test: Rows it is judged on, with a boolean label.
    """
    event = [*spec.examples.entity_key, spec.examples.event_time]
    shared = len(test[event].merge(train[event].drop_duplicates(), on=event))
    yield Check(
        name="leak: test events seen in training",
        status="passed" if shared == 0 else "failed",
        measured=str(shared),
        required="0",
    )
    name, auc = strongest_input(spec, test)
    yield Check(
        name="leak: an input that is the label",
        status="passed" if auc <= spec.gates.max_input_auc else "failed",
        measured=f"{name} alone has ROC-AUC {auc:.4f}",
        required=f"<= {spec.gates.max_input_auc:g}",
    )


def strongest_input(spec: ModelSpec, rows: pd.DataFrame) -> tuple[str, float]:
    """
    Return the input that separates the classes best all by itself, and its ROC-AUC (0.5 to 1).

    A number is ranked as it is, a category by the share of positives it has in the other half of
    the rows. Whether the value is missing counts as a number of its own: labels often leak so.
    """
    labels = rows[spec.examples.label].to_numpy(dtype=bool)
    found = {name: _alone(rows[name], labels) for name in spec.examples.features}
    name = max(found, key=lambda key: found[key])
    return name, found[name]


def _alone(values: pd.Series, labels: NDArray[np.bool_]) -> float:
    missing = values.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        given = _separation(values.to_numpy(dtype="float64")[~missing], labels[~missing])
    else:
        given = _separation(_cross_encoded(values, labels)[~missing], labels[~missing])
    return max(given, _separation(missing.astype("float64"), labels))


def _cross_encoded(values: pd.Series, labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for each row the share of positives its value has in the other half of the rows."""
    encoded = np.full(len(values), labels.mean(), dtype="float64")
    half = np.arange(len(values)) % 2
    for side in (0, 1):
        shares = pd.Series(labels[half != side]).groupby(values[half != side].to_numpy()).mean()
        encoded[half == side] = values[half == side].map(shares).fillna(labels.mean())
    return encoded


def _separation(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    positives = int(labels.sum())
    if min(positives, len(labels) - positives) < MIN_ROWS:
        return 0.5
    auc = float(roc_auc_score(labels, scores))
    return max(auc, 1 - auc)
