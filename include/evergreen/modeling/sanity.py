"""Ask a pipeline whether it learns where nothing is to learn, and which inputs it uses."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

from evergreen.modeling import metrics
from evergreen.modeling.baselines import best_constant
from evergreen.modeling.metrics import Labels
from evergreen.modeling.prediction import classes_of, inputs_of, predict
from evergreen.receipts.modeling import Importance
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import find_document, find_or_make
from evergreen.values import Frozen

#: Shuffles of each input when its importance is measured.
REPEATS = 5


class Sanity(Frozen):
    """The answers for one challenger, empty where not asked; no champion takes part in them."""

    shuffled_gains: tuple[float, ...] = ()
    importances: tuple[Importance, ...] = ()


def check_sanity(
    store: ObjectStore,
    spec: ModelSpec,
    model: Pipeline,
    *,
    key: str,
    train: pd.DataFrame,
    test: pd.DataFrame,
    keep: bool = True,
) -> Sanity:
    """Return the answers for the challenger with *key*, asked once and then kept if *keep*."""

    def measure() -> Sanity:
        gains = gains_on_shuffled_labels(model, spec, train=train, test=test)
        return Sanity(
            shuffled_gains=tuple(filter(math.isfinite, gains)),
            importances=tuple(importances(model, spec, test=test)),
        )

    record_key = layout.sanity_record(spec.model, key)
    if not keep:
        return find_document(store, record_key, Sanity) or measure()
    return find_or_make(store, record_key, Sanity, measure)[0]


def gains_on_shuffled_labels(
    model: Pipeline, spec: ModelSpec, *, train: pd.DataFrame, test: pd.DataFrame
) -> list[float]:
    """
    Fit *model* anew on shuffled labels and return what it gains over the best constant on *test*.

    One number per shuffle. The constant is the best one in hindsight, so that a level that moved
    between training and test days is no gain. A pipeline that learns from its labels alone gains
    nothing on average: each single one may lean either way, since test rows are few kinds of rows.
    One that gains knows the labels from elsewhere.
    """
    rule, label = spec.gates.sanity, spec.examples.label
    rng = np.random.default_rng(spec.seed)
    some = _sample(train, size=rule.max_rows, rng=rng)
    inputs = inputs_of(model, some, spec=spec.examples)
    classes = classes_of(model, test, spec=spec.examples)
    truth = Labels.of(test, spec=spec.examples, classes=classes)
    chance = metrics.value(truth, spec.metric, best_constant(truth, spec.metric))
    gains = []
    for _ in range(rule.shuffles):
        shuffled = rng.permutation(some[label].to_numpy())
        fitted = clone(model).fit(inputs, shuffled)
        found = predict(fitted, test, spec=spec.examples, classes=classes)
        gains.append(metrics.gain(spec.metric, metrics.value(truth, spec.metric, found), chance))
    return gains


def importances(model: Pipeline, spec: ModelSpec, *, test: pd.DataFrame) -> list[Importance]:
    """
    Return what each input of *model* is worth, most first.

    The loss on the primary metric when its values are shuffled among the rows (Breiman, "Random
    Forests", Machine Learning 45, 2001), on a seeded sample of *test*. Of two inputs that say the
    same, neither may seem worth much.
    """
    rows = _sample(test, size=spec.gates.sanity.max_rows, rng=np.random.default_rng(spec.seed))
    inputs = inputs_of(model, rows, spec=spec.examples)
    classes = classes_of(model, rows, spec=spec.examples)
    truth = Labels.of(rows, spec=spec.examples, classes=classes)

    def worth(fitted: Pipeline, shuffled: pd.DataFrame, _: object) -> float:
        found = predict(fitted, shuffled, spec=spec.examples, classes=classes)
        return metrics.merit(spec.metric, metrics.value(truth, spec.metric, found))

    found = permutation_importance(
        model, inputs, truth.values, scoring=worth, n_repeats=REPEATS, random_state=spec.seed
    )
    errors = found.importances_std / np.sqrt(REPEATS)
    costs = zip(inputs.columns, found.importances_mean, errors, strict=True)
    worths = [Importance(name=name, cost=float(c), error=float(e)) for name, c, e in costs]
    return sorted(worths, key=lambda one: -one.cost)


def _sample(frame: pd.DataFrame, *, size: int, rng: np.random.Generator) -> pd.DataFrame:
    if len(frame) <= size:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), size, replace=False))]
