"""Take single columns of a frame from elsewhere as numbers, names or days, or refuse them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype

from evergreen.errors import ComparisonError

Names = NDArray[np.object_]

#: What pandas finds in a column, and the kind it is for us.
KINDS = {
    "integer": "whole numbers",
    "floating": "numbers",
    "mixed-integer-float": "numbers",
    "decimal": "numbers",
    "boolean": "booleans",
    "string": "texts",
    "datetime64": "dates",
    "datetime": "dates",
    "date": "dates",
    "empty": "nulls",
    "mixed": "values of different types",
    "mixed-integer": "values of different types",
}
NUMBERS = ("whole numbers", "numbers", "booleans")
#: A text of a date with a time of day: many such texts are of one day.
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:.*")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: ``title`` is what messages call it."""

    title: str
    values: pd.Series

    @cached_property
    def kind(self) -> str:
        """What it holds, as in KINDS, or pandas' own name of it."""
        found = str(infer_dtype(self.values, skipna=True))
        return KINDS.get(found, found)

    def refuse_nulls(self) -> None:
        """:raises ComparisonError: If a value is null."""
        try:
            rows = np.flatnonzero(self.values.isna())
        except ArithmeticError:  # decimals have NaNs that cannot be compared
            raise self.refuse("values that can be compared", "Write them as floats.") from None
        if rows.size:
            raise ComparisonError(
                f"{self.title} is null in {rows.size} of {len(self.values)} rows, first in row "
                f"{rows[0] + 1}; expected a value in each. Fill it in, or leave the rows out of "
                "both files."
            )

    def refuse(self, expected: str, remedy: str) -> ComparisonError:
        """Return the error for values that are not *expected*."""
        return ComparisonError(f"{self.title} holds {self.kind}; expected {expected}. {remedy}")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A frame of predictions: ``name`` says whose they are, ``champion`` or ``challenger``."""

    name: str
    frame: pd.DataFrame

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns as texts, in their order."""
        return [str(name) for name in self.frame.columns]

    def column(self, name: str) -> Column:
        """
        Return the only column *name*.

        :raises ComparisonError: If there is none, or there are several.
        """
        places = [place for place, found in enumerate(self.columns) if found == name]
        if len(places) != 1:
            found = f"occurs {len(places)} times" if places else "is missing"
            raise ComparisonError(
                f"Column {name} {found} in the {self.name}, which has {listed(self.columns)}; "
                "expected it once. Rename the columns of the file or correct the option."
            )
        values = self.frame.iloc[:, places[0]]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = pd.Series(np.asarray(values))
        return Column(title=f"Column {name} of the {self.name}", values=values)


def listed(names: list[str], *, most: int = 10) -> str:
    """Return *names* as a text; only the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def numbers_of(column: Column) -> NDArray[np.float64]:
    """
    Return a column as floats; null is NaN.

    :raises ComparisonError: If it does not hold numbers or booleans.
    """
    if column.kind == "nulls":
        return np.full(len(column.values), np.nan)
    if column.kind in NUMBERS:
        try:
            return np.asarray(column.values.to_numpy(dtype=np.float64, na_value=np.nan))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise column.refuse("numbers that fit a float", f"{error}.") from None
    raise column.refuse("numbers", "Write them as a numeric type.")


def names_of(column: Column) -> Names:
    """
    Return a column as texts: 1 and 1.0 are both "1", a boolean is "True" or "False".

    :raises ComparisonError: If a value is null, or is not a text, number or boolean.
    """
    column.refuse_nulls()
    if column.kind not in (*NUMBERS, "texts"):
        raise column.refuse("texts, numbers or booleans", "Write them as a plain type.")
    return _each(column.values, _text)


def key_names_of(column: Column) -> Names:
    """
    Return a column of a key as texts; instants in UTC.

    :raises ComparisonError: As :func:`names_of`.
    """
    column.refuse_nulls()
    if column.kind != "dates":
        return names_of(column)
    return _each(_in_utc(column, column.values), str)


def days_of(column: Column) -> Names:
    """
    Return the name of the UTC day of each row; whole numbers and other texts are names as they are.

    Texts that all are dates with a time of day are read as instants: taken as names, each row would
    be a day of its own, and the bound far too narrow.

    :raises ComparisonError: If a value is null, or is not a date, text or whole number.
    """
    column.refuse_nulls()
    if column.kind == "dates":
        return _utc_days(column, column.values)
    if column.kind not in ("texts", "whole numbers"):
        raise column.refuse(
            "dates, instants, texts or whole numbers",
            "Name the column with the day of each row by --day.",
        )
    found = _each(column.values, _text)
    codes, texts = pd.factorize(found)
    if all(_INSTANT.fullmatch(text) for text in texts):
        return np.asarray(_utc_days(column, pd.Series(texts))[codes], dtype=object)
    return found


def _utc_days(column: Column, values: pd.Series) -> Names:
    days = _in_utc(column, values).to_numpy().astype("datetime64[D]").astype(np.int64)
    return _each(pd.Series(days), lambda day: str(np.datetime64(day, "D")))


def _in_utc(column: Column, values: pd.Series) -> pd.Series:
    """Return instants in UTC, without their time zone; those without one are taken as UTC."""
    if isinstance(values.dtype, pd.ArrowDtype):
        values = values.astype(object)
    written = "ISO8601" if column.kind == "texts" else None
    try:
        return pd.to_datetime(values, utc=True, format=written).dt.tz_localize(None)
    except (ValueError, TypeError, OverflowError) as error:
        raise column.refuse("dates that can be read", f"{error}.") from None


def _each(values: pd.Series | Names, text_of: Callable[[Any], str]) -> Names:
    """Return *text_of* each value, called once for each different one."""
    codes, different = pd.factorize(values)
    texts = np.empty(len(different), dtype=object)
    texts[:] = [text_of(value) for value in different]
    return np.asarray(texts[codes], dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, str | bool | np.bool_ | int | np.integer):
        return str(value)
    number = float(value)
    return str(int(value)) if number.is_integer() else str(number)
