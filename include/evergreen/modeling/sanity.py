"""Ask a pipeline whether it learns where nothing is to learn, and which inputs it uses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from evergreen.modeling import metrics
from evergreen.modeling.baselines import best_constant
from evergreen.modeling.explanation import check_explanation
from evergreen.modeling.gate_inputs import days_of_rows
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.paired_gain import paired_gain
from evergreen.modeling.prediction import classes_of, inputs_of, predict
from evergreen.receipts.modeling import ExplanationCheck, GroupGain, Importance
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import find_document, find_or_make
from evergreen.values import Frozen

#: Shuffles of each input when its importance is measured.
REPEATS = 5
#: Of the one-sided lower bound of an importance.
CONFIDENCE = 0.975


class Sanity(Frozen):
    """The answers for one challenger, empty where not asked; no champion takes part in them."""

    shuffled_gains: tuple[float, ...] = ()
    importances: tuple[Importance, ...] = ()
    groups: tuple[GroupGain, ...] = ()
    explanation: ExplanationCheck | None = None


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
            groups=tuple(group_gains(model, spec, test=test)),
            explanation=check_explanation(model, spec, test=test),
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
    Forests", Machine Learning 45, 2001), on a seeded sample of *test*, with days as clusters: an
    input may help on some days only. Of two inputs that say the same, neither may seem worth much.
    """
    shuffling = _Shuffling(model, spec, test)
    found = []
    for name in shuffling.inputs.columns:
        cost, error = shuffling.cost_of([name])
        found.append(Importance(name=str(name), cost=cost, error=error))
    return sorted(found, key=lambda one: -math.inf if one.cost is None else one.cost, reverse=True)


def group_gains(model: Pipeline, spec: ModelSpec, *, test: pd.DataFrame) -> list[GroupGain]:
    """
    Return what each group of inputs that the spec names is worth, in the order of the spec.

    As :func:`importances`, with all inputs of a group shuffled together: none of them can stand in
    for another one of its group.
    """
    if not spec.inputs:
        return []
    shuffling = _Shuffling(model, spec, test)
    found = []
    for name, group in spec.inputs.items():
        columns = [column for column in group.columns if column in shuffling.inputs]
        cost, error = shuffling.cost_of(columns)
        found.append(
            GroupGain(
                name=name, cost=cost, error=error, columns=group.columns, min_gain=group.min_gain
            )
        )
    return found


class _Shuffling:
    """Shuffles inputs of a seeded sample of the test rows, and measures what that costs."""

    def __init__(self, model: Pipeline, spec: ModelSpec, test: pd.DataFrame) -> None:
        self.model, self.spec = model, spec
        self.rng = np.random.default_rng(spec.seed)
        rows = _sample(test, size=spec.gates.sanity.max_rows, rng=self.rng)
        self.inputs = inputs_of(model, rows, spec=spec.examples)
        # Each row has a name of its own, as in any other frame that a pipeline is given.
        self.repeated = pd.concat([self.inputs] * REPEATS, ignore_index=True)
        self.classes = classes_of(model, rows, spec=spec.examples)
        self.truth = Labels.of(rows, spec=spec.examples, classes=self.classes)
        self.predicted = predict(model, rows, spec=spec.examples, classes=self.classes)
        self.days = days_of_rows(spec, rows)

    def cost_of(self, columns: Sequence[str]) -> tuple[float | None, float | None]:
        """Return the mean loss over some shuffles of *columns*, and its error."""
        costs, reaches = [], []
        for shuffled in self._predict_shuffled(columns):
            found = paired_gain(
                self.truth,
                self.predicted,
                shuffled,
                metric=self.spec.metric,
                clusters=self.days,
            )
            costs.append(found.gain)
            reaches.append(found.gain - found.lower(CONFIDENCE))
        reach = _mean(reaches)
        return _mean(costs), None if reach is None else reach / 2

    def _predict_shuffled(self, columns: Sequence[str]) -> list[Predictions]:
        """Predict every shuffle of *columns* in one call, since each call has a fixed cost."""
        order = np.concatenate([self.rng.permutation(len(self.inputs)) for _ in range(REPEATS)])
        values = {name: self.inputs[name].array[order] for name in columns}
        found = predict(
            self.model,
            self.repeated.assign(**values),
            spec=self.spec.examples,
            classes=self.classes,
        )
        return np.split(found, REPEATS)


def _mean(found: list[float]) -> float | None:
    mean = float(np.mean(found))
    return mean if math.isfinite(mean) else None


def _sample(frame: pd.DataFrame, *, size: int, rng: np.random.Generator) -> pd.DataFrame:
    if len(frame) <= size:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), size, replace=False))]
