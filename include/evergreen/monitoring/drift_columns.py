"""
Turn a column of any type into numbers or texts, the two kinds whose distances are measured.

| type | treated as |
|---|---|
| integers, floats, decimals | numbers |
| booleans | the numbers 0 and 1 |
| dates and times | numbers: hours since the day began; without a zone they are UTC |
| durations | numbers: hours |
| texts, categories | texts |
| objects of mixed types, lists, dictionaries | texts, as Python prints them |
| all null | numbers without a value |

A number that is infinite or beyond 1e70 cannot be measured; its share is a distance of its own.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Larger numbers are no measurements, and their fourth powers overflow.
LARGEST = 1e70
#: Numbers that differ by less than this share of the largest are the same number: the noise of
#: sums in floating point, about a million times the resolution of a float.
SAME = 1e-9

_HOUR = pd.Timedelta(hours=1)
_NUMBERS = {"decimal", "integer", "floating", "mixed-integer-float", "boolean"}
_TIMES = {"date", "datetime", "datetime64"}
_DURATIONS = {"timedelta", "timedelta64"}


def comparable(rows: pd.DataFrame, *, start: datetime | None = None) -> pd.DataFrame:
    """
    Return *rows* with each column as 64-bit floats or as texts, NaN where there is no value.

    :param start: When the day began, UTC; without it times count from 1970.
    """
    columns = {name: _comparable(rows[name], start) for name in rows.columns}
    return pd.DataFrame(columns, index=rows.index, columns=rows.columns)


def is_text(values: pd.Series) -> bool:
    """Return whether a column of :func:`comparable` is compared as texts."""
    return not pd.api.types.is_float_dtype(values.dtype)


def as_texts(values: pd.Series) -> pd.Series:
    """Return a column of :func:`comparable` as texts."""
    return values.map(str, na_action="ignore").astype(object)


def is_measurable(values: pd.Series) -> NDArray[np.bool_]:
    """Return which numbers can be measured; those that are null cannot."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(values.to_numpy(dtype=np.float64)) <= LARGEST)


def tolerance_of(values: NDArray[np.float64]) -> float:
    """Return the difference below which two of *values* are the same number."""
    return SAME * (float(np.abs(values).max(initial=0.0)) or 1.0)


def _comparable(values: pd.Series, start: datetime | None) -> pd.Series:
    if pd.api.types.is_complex_dtype(values.dtype):
        return as_texts(values)
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("Float64" if values.dtype.kind == "b" else values.dtype).astype(
            np.float64
        )
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "empty" or (kind == "categorical" and values.isna().all()) or values.isna().all():
        return pd.Series(np.nan, index=values.index, dtype=np.float64)
    if kind in _NUMBERS:
        return values.map(float, na_action="ignore").astype(np.float64)
    if kind in _TIMES:
        return _hours(values, start)
    if kind in _DURATIONS:
        return pd.to_timedelta(values) / _HOUR
    return as_texts(values.astype(object))


def _hours(values: pd.Series, start: datetime | None) -> pd.Series:
    times = pd.to_datetime(values, utc=True, errors="coerce")
    since = pd.Timestamp(start) if start else pd.Timestamp(0, tz="UTC")
    return (times - since) / _HOUR
