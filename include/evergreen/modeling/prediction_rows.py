"""Bring the rows of two frames of predictions together: labels, days and predictions of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evergreen.errors import ComparisonError
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.prediction_classes import class_shares
from evergreen.modeling.prediction_columns import (
    Column,
    Predicted,
    days_of,
    key_names_of,
    listed,
    names_of,
    numbers_of,
)
from evergreen.spec.data import Problem

#: The column of predictions, unless there are several classes.
PREDICTION = "prediction"


@dataclass(frozen=True, kw_only=True)
class PredictionColumns:
    """
    What the columns of both frames mean.

    ``keys`` are the columns that identify a row; without any, rows are matched by position.
    ``positive`` is the text of the positive class of a binary label that is not 0 and 1.
    """

    label: str
    day: str
    problem: Problem
    keys: tuple[str, ...] = ()
    positive: str | None = None


@dataclass(frozen=True, kw_only=True)
class MatchedRows:
    """
    Both models' predictions of the same rows, in the order of the champion's frame.

    ``days`` has shape ``(rows,)`` and holds the number of the day of each row. Predictions that are
    null are NaN.
    """

    truth: Labels
    days: NDArray[np.int64]
    champion: Predictions
    challenger: Predictions


def match_rows(
    champion: pd.DataFrame, challenger: pd.DataFrame, *, columns: PredictionColumns
) -> MatchedRows:
    """
    Match the rows of *champion* and *challenger* and check everything that is needed of them.

    :raises ComparisonError: If a column is missing or cannot be used, or if the rows of the two
        are not the same.
    """
    _check_names(columns)
    sides = (
        Predicted(name="champion", frame=champion),
        Predicted(name="challenger", frame=challenger),
    )
    for side in sides:
        if len(side.frame) == 0:
            raise ComparisonError(f"The {side.name} has no rows; expected at least one. Fill it.")
    order = _order(sides, columns.keys)
    days = _shared(sides, columns.day, order, days_of)
    label = _shared(sides, columns.label, order, lambda column: _label_of(column, columns))
    if columns.problem == "multiclass":
        reserved = {columns.label, columns.day, *columns.keys}
        classes, ours, theirs = class_shares(sides, labels=label, reserved=reserved)
        codes = pd.Categorical(label, categories=list(classes)).codes
        truth = Labels(problem="multiclass", values=np.asarray(codes), classes=classes)
    else:
        truth = Labels(problem=columns.problem, values=label)
        ours, theirs = (numbers_of(side.column(PREDICTION)) for side in sides)
    numbers = np.asarray(pd.factorize(days)[0], dtype=np.int64)
    return MatchedRows(truth=truth, days=numbers, champion=ours, challenger=theirs[order])


def _check_names(columns: PredictionColumns) -> None:
    if columns.label == columns.day or PREDICTION in (columns.label, columns.day):
        raise ComparisonError(
            f"--label names {columns.label} and --day names {columns.day}; expected two different "
            f"columns beside {PREDICTION}. Name the column with the label and that with the day."
        )
    if columns.positive is not None and columns.problem != "binary":
        raise ComparisonError(
            f"--positive is for binary problems, the problem is {columns.problem}. Leave it out."
        )


def _order(sides: Sequence[Predicted], keys: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows of the challenger in the order of the champion's."""
    champion, challenger = (len(side.frame) for side in sides)
    if not keys:
        if champion != challenger:
            raise ComparisonError(
                f"The champion has {champion} rows and the challenger {challenger}; expected the "
                "same rows in the same order. Give both files the same rows, or name the columns "
                "that identify a row by --key."
            )
        return np.arange(champion)
    ours, theirs = (_index(side, keys) for side in sides)
    order = theirs.get_indexer(ours)
    lost = ours[order < 0]
    new = theirs[ours.get_indexer(theirs) < 0]
    for rows, there, absent in ((lost, "champion", "challenger"), (new, "challenger", "champion")):
        if len(rows):
            raise ComparisonError(
                f"{len(rows)} rows of the {there} have a key that the {absent} does not have, such "
                f"as {_shown(rows[0], keys)}; expected the same keys in both. Leave the other rows "
                "out, or correct --key."
            )
    return np.asarray(order, dtype=np.int64)


def _index(side: Predicted, keys: Sequence[str]) -> pd.Index:
    found = [key_names_of(side.column(key)) for key in keys]
    index = pd.Index(found[0]) if len(found) == 1 else pd.MultiIndex.from_arrays(found)
    if (twice := index[index.duplicated()]).size:
        raise ComparisonError(
            f"{len(twice)} rows of the {side.name} have a key that an earlier row has, such as "
            f"{_shown(twice[0], keys)}; expected each key once. Remove the duplicates, or name "
            "further columns by --key."
        )
    return index


def _shown(key: str | tuple[str, ...], keys: Sequence[str]) -> str:
    values = (key,) if isinstance(key, str) else key
    return ", ".join(f"{name} {value}" for name, value in zip(keys, values, strict=True))


def _shared(
    sides: Sequence[Predicted],
    name: str,
    order: NDArray[np.int64],
    read: Callable[[Column], NDArray[Any]],
) -> NDArray[Any]:
    """Return a column that one side has, or both with the same values."""
    holders = [side for side in sides if name in side.columns]
    if not holders:
        raise ComparisonError(
            f"Column {name} is missing: the champion has {listed(sides[0].columns)}, the "
            f"challenger {listed(sides[1].columns)}; expected it in at least one of them. Add it "
            "or correct the option."
        )
    found = [read(side.column(name)) for side in holders]
    if holders[-1].name == "challenger":
        found[-1] = found[-1][order]
    if (rows := np.flatnonzero(found[0] != found[-1])).size:
        raise ComparisonError(
            f"Column {name} differs in {rows.size} of {len(order)} rows, first in row "
            f"{rows[0] + 1} of the champion ({found[0][rows[0]]} and {found[-1][rows[0]]}); "
            "expected the same rows in both. Sort both alike, or name the columns that identify a "
            "row by --key."
        )
    return found[0]


def _label_of(column: Column, columns: PredictionColumns) -> NDArray[Any]:
    """Return booleans, numbers or the names of classes, as the problem asks."""
    column.refuse_nulls()
    if columns.problem == "multiclass":
        return names_of(column)
    if columns.problem == "binary":
        return _binary(column, columns.positive)
    numbers = numbers_of(column)
    if (rows := np.flatnonzero(~np.isfinite(numbers))).size:
        raise ComparisonError(
            f"{column.title} is infinite in {rows.size} rows, first in row {rows[0] + 1}; expected "
            "finite numbers. Correct them, or leave the rows out of both files."
        )
    return numbers


def _binary(column: Column, positive: str | None) -> NDArray[np.bool_]:
    names = names_of(column)
    different = sorted(pd.unique(names))
    if positive is None:
        if column.kind != "texts" and set(different) <= {"0", "1", "False", "True"}:
            return np.asarray((names == "1") | (names == "True"))
        expected = "booleans, or 0 and 1"
        remedy = "Name the positive one of two values by --positive."
    else:
        wanted = positive.capitalize() if column.kind == "booleans" else positive
        if len(different) == 1 or (len(different) == 2 and wanted in different):
            return np.asarray(names == wanted)
        expected, remedy = f"two values, one of them {positive}", "Correct the label or --positive."
    raise ComparisonError(
        f"{column.title} holds {len(different)} values ({listed(different)}); expected {expected}. "
        f"{remedy}"
    )
