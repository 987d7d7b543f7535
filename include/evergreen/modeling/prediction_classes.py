"""Find the columns of class probabilities in frames of predictions, and check them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evergreen.errors import ComparisonError
from evergreen.modeling.metrics import Predictions
from evergreen.modeling.prediction_columns import (
    NUMBERS,
    Names,
    Predicted,
    listed,
    numbers_of,
)

#: What the name of a class may begin with as a column.
PREFIX = "prediction_"
#: Probabilities may be rounded: how far their sum may be from 1.
TOLERANCE = 0.005


def class_shares(
    sides: Sequence[Predicted], *, labels: Names, reserved: Collection[str]
) -> tuple[tuple[str, ...], Predictions, Predictions]:
    """
    Return all classes, sorted, and the probabilities of *sides* in that order.

    The classes are those of the columns ``prediction_<class>``, if these hold all of *labels*. Else
    they are the classes among *labels*, each with a column of its name; where the probabilities of
    these do not add up to 1, every other column of numbers from 0 to 1 that both sides have is a
    class too.

    :param sides: The champion and the challenger.
    :param labels: Shape ``(rows,)``; the name of the class of each row.
    :param reserved: Columns that are no classes: label, day and keys.
    :return: Probabilities of shape ``(rows, classes)``, each row of them adding up to 1 or not
        finite; rounded ones are divided by their sum.
    :raises ComparisonError: If a column is missing, if labels have a class without a column, or if
        finite values are no probabilities.
    """
    among_labels = {str(name) for name in pd.unique(labels)}
    named = {
        name.removeprefix(PREFIX)
        for side in sides
        for name in side.columns
        if name.startswith(PREFIX) and name not in reserved
    }
    named = named if among_labels <= named else set()
    classes = tuple(sorted(named or among_labels))
    found = [_values(side, classes, reserved) for side in sides]
    if not named and not all(_add_up(values) for values in found):
        others = _other_classes(sides, reserved)
        wider = tuple(sorted(among_labels | others))
        shares = [_values(side, wider, reserved) for side in sides]
        if others and all(_add_up(values) for values in shares):
            classes, found = wider, shares
    ours, theirs = (
        _probabilities(side, values, classes) for side, values in zip(sides, found, strict=True)
    )
    return classes, ours, theirs


def _values(
    side: Predicted, classes: Sequence[str], reserved: Collection[str]
) -> NDArray[np.float64]:
    usable = set(side.columns) - set(reserved)
    names = [name if (name := PREFIX + each) in usable else each for each in classes]
    if lost := [each for each, name in zip(classes, names, strict=True) if name not in usable]:
        raise ComparisonError(
            f"The {side.name} has no column for the class {listed(lost)}: it has "
            f"{listed(side.columns)}; expected for each class a column of its name, or "
            f"{PREFIX}<class>. Add the probability of each class; 0 for one the model never saw."
        )
    return np.column_stack([numbers_of(side.column(name)) for name in names])


def _other_classes(sides: Sequence[Predicted], reserved: Collection[str]) -> set[str]:
    """Return the columns that both sides have once, with numbers from 0 to 1."""
    shared = set(sides[0].columns).intersection(*(side.columns for side in sides)) - set(reserved)
    return {name for name in shared if all(_may_be_class(side, name) for side in sides)}


def _may_be_class(side: Predicted, name: str) -> bool:
    if side.columns.count(name) > 1 or side.column(name).kind not in NUMBERS:
        return False
    values = numbers_of(side.column(name))
    finite = values[np.isfinite(values)]
    return bool(((finite >= 0) & (finite <= 1)).all())


def _add_up(values: NDArray[np.float64]) -> bool:
    return bool((np.abs(_finite_rows(values).sum(axis=1) - 1) <= TOLERANCE).all())


def _finite_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values).all(axis=1)]


def _probabilities(
    side: Predicted, values: NDArray[np.float64], classes: Sequence[str]
) -> Predictions:
    finite = _finite_rows(values)
    if (bad := int(((finite < 0) | (finite > 1)).any(axis=1).sum())) > 0:
        raise ComparisonError(
            f"{bad} rows of the {side.name} have values outside 0 to 1 in the columns of the "
            f"classes {listed(list(classes))}, from {finite.min():g} to {finite.max():g}; expected "
            "probabilities. Write what predict_proba returns."
        )
    if not _add_up(values):
        sums = finite.sum(axis=1)
        worst = sums[np.abs(sums - 1).argmax()]
        raise ComparisonError(
            f"The probabilities of the classes {listed(list(classes))} add up to {worst:g} in a "
            f"row of the {side.name}; expected 1 in each row. Add the columns of further classes "
            f"as {PREFIX}<class>, or divide each row by its sum."
        )
    sums = values.sum(axis=1, keepdims=True)
    return np.where(np.abs(sums - 1) > 1e-6, values / sums, values)
