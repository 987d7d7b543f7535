"""Write the value of a categorical input, or of a class, as text: by the value alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from numbers import Integral, Real

import numpy as np
import pandas as pd

#: Above this a float no longer tells whole numbers apart.
LARGEST_WHOLE = 2**53


def as_texts(values: pd.Series) -> pd.Series:
    """
    Return the texts of *values*, shape ``(rows,)``, null where there is none.

    A whole number is written without a fraction whatever type holds it, so that ``7`` in a column
    of integers, ``7.0`` beside a null and ``Decimal("7.00")`` are one category. Instants are
    written as ISO 8601 in UTC, truth as ``True`` and ``False``.

    :raises TypeError: If a value is of a kind that has no text: bytes, lists, maps, objects.
    """
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("str")
    if values.dtype == object:  # 1 and True are equal, and are not the same category
        texts = [
            None if null else text_of(v) for v, null in zip(values, values.isna(), strict=True)
        ]
        return pd.Series(texts, index=values.index, name=values.name, dtype="str")
    codes, distinct = pd.factorize(values)
    found = pd.Series([text_of(value) for value in distinct], dtype="str").reindex(codes)
    return pd.Series(found.array, index=values.index, name=values.name)


def kinds_without_text(values: pd.Series) -> Iterator[str]:
    """Yield the name of each kind of value that :func:`as_texts` would refuse."""
    if values.dtype != object:
        return
    kinds = {type(value) for value in values.dropna()}
    yield from sorted(kind.__name__ for kind in kinds if not issubclass(kind, tuple(WRITTEN)))


def text_of(value: Hashable) -> str:
    """
    Return *value*, which is not null, as the text of a category.

    :raises TypeError: If it is of a kind that has no text.
    """
    for kind, write in WRITTEN.items():
        if isinstance(value, kind):
            return write(value)
    raise TypeError(f"found {type(value).__name__}, expected text, a number, truth or a time")


def _decimal(value: Decimal) -> str:
    is_whole = value.is_finite() and value == value.to_integral_value()
    return str(int(value)) if is_whole else str(value.normalize())


def _float(value: float) -> str:
    number = float(value)
    is_whole = number.is_integer() and abs(number) <= LARGEST_WHOLE
    return str(int(number)) if is_whole else repr(number)


def _instant(value: datetime) -> str:
    instant = pd.Timestamp(value)
    written: str = (instant if instant.tzinfo is None else instant.tz_convert("UTC")).isoformat()
    return written


#: How each kind of value is written; the first that fits, and truth is an integer too.
WRITTEN: dict[type, Callable[..., str]] = {
    str: str,
    bool: str,
    np.bool_: str,
    Integral: lambda value: str(int(value)),
    Decimal: _decimal,
    Real: _float,
    datetime: _instant,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: lambda value: pd.Timedelta(value).isoformat(),
}
