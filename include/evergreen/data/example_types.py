"""
The types of examples: what ``prepare`` may return, and the one type each column is stored as.

Each value is converted by itself: a null, or another row, never changes what a row becomes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.data.raw_rows import arrow_series
from evergreen.data.texts import as_texts, kinds_without_text
from evergreen.spec.data import Examples

#: A label whose positive class is true may be written so.
TRUTH = {"True": "True", "1": "True", "False": "False", "0": "False"}
#: More values than this are not listed in an error.
SHOWN = 5


def plain(values: pd.Series) -> pd.Series:
    """Return *values* in numpy's or pandas' own types where they are held by Arrow."""
    if not isinstance(values.dtype, pd.ArrowDtype):
        return values
    found = arrow_series(pa.chunked_array(values.array.__arrow_array__()))
    return found.set_axis(values.index).rename(values.name)


def type_faults(frame: pd.DataFrame, spec: Examples) -> Iterator[str]:
    """Yield what is wrong with the columns of *frame*, whose names are right."""
    for name in (spec.event_time, spec.known_at):
        if not isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            yield f"{name!r} has type {frame[name].dtype}, expected datetime with UTC"
    is_number = spec.problem == "regression"
    for name in [*spec.numeric, *([spec.label] if is_number else [])]:
        if not _is_numeric(frame[name]):
            yield f"{name!r} has type {frame[name].dtype}, expected a number"
    for name in [*spec.categorical, *([] if is_number else [spec.label])]:
        yield from _text_faults(frame[name])
    for name in spec.entity_key:
        yield from _key_faults(frame[name])
    if spec.problem == "binary":
        yield from _label_faults(frame[spec.label], spec)


def _key_faults(values: pd.Series) -> Iterator[str]:
    yield from _text_faults(values)
    if len(kinds := _kinds(values)) > 1:
        yield f"{values.name!r} holds values of several kinds, {', '.join(kinds)}; expected one"


def _text_faults(values: pd.Series) -> Iterator[str]:
    """Yield why *values* cannot be written as texts; half of a surrogate pair cannot."""
    if kinds := list(kinds_without_text(values)):
        yield f"{values.name!r} holds {', '.join(kinds)}, expected text, numbers, truth or times"
    elif not _is_unicode(values):
        yield f"{values.name!r} holds text that is not valid Unicode"


def canonical_key(values: pd.Series) -> pd.Series:
    """Return *values*, none of which is null, in the type that a key of their kind always has."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return in_utc(values)
    if isinstance(values.dtype, pd.CategoricalDtype | pd.StringDtype):
        return as_texts(values)
    if pd.api.types.is_bool_dtype(values):
        return values.astype("bool")
    if pd.api.types.is_integer_dtype(values):
        return values.astype("uint64" if str(values.dtype).lower() == "uint64" else "int64")
    if pd.api.types.is_float_dtype(values):
        return values.astype("float64")
    if pd.api.types.is_datetime64_dtype(values):
        return values.dt.as_unit("us")
    is_text = values.map(lambda value: isinstance(value, str)).all()
    return as_texts(values) if is_text else values


def type_of(values: pd.Series) -> str:
    """Return the kind of a key, by which days are compared."""
    return "/".join(_kinds(values)) if values.dtype == object else str(values.dtype)


def in_utc(values: pd.Series) -> pd.Series:
    """Return instants as microseconds in UTC."""
    return values.dt.tz_convert("UTC").dt.as_unit("us")


def as_numbers(values: pd.Series) -> pd.Series:
    """Return numbers of any type as float64, shape ``(rows,)``, NaN for null."""
    if values.dtype == object:
        floats = [
            np.nan if null else float(v) for v, null in zip(values, values.isna(), strict=True)
        ]
        return pd.Series(floats, index=values.index, name=values.name, dtype="float64")
    return values.astype("float64")


def class_texts(values: pd.Series, spec: Examples) -> pd.Series:
    """Return the texts of classes; where the positive class is true, ``True`` and ``False``."""
    texts = as_texts(values)
    if spec.problem == "binary" and isinstance(spec.positive_class, bool):
        return texts.map(TRUTH).astype("str")
    return texts


def negative_class(values: pd.Series, spec: Examples) -> str | None:
    """Return the text of the class of *values* that is not the positive one; None if none is."""
    found = set(class_texts(values, spec).dropna()) - {str(spec.positive_class)}
    return next(iter(found), None)


def _label_faults(values: pd.Series, spec: Examples) -> Iterator[str]:
    """Yield what is wrong with a label of two classes: a third value, or one of another kind."""
    if list(kinds_without_text(values)):
        return
    positive = str(spec.positive_class)
    found = set(as_texts(values).dropna())
    if isinstance(spec.positive_class, bool):
        strange = found - set(TRUTH)
        expected = "true, false or null"
    elif spec.negative_class is not None:
        strange = found - {positive, str(spec.negative_class)}
        expected = f"{positive!r}, {str(spec.negative_class)!r} or null"
    else:
        others = found - {positive}
        alike = {text for text in others if text.casefold() == positive.casefold()}
        strange = others if len(others) > 1 else alike
        expected = f"{positive!r}, one other value, or null where the label is not known"
    if strange:
        shown = ", ".join(repr(text) for text in sorted(strange)[:SHOWN])
        yield f"{spec.label!r} holds {shown}; expected {expected}"


def _kinds(values: pd.Series) -> list[str]:
    """Return the names of Python's types in a column without a type of its own."""
    return sorted({type(v).__name__ for v in values.dropna()}) if values.dtype == object else []


def _is_numeric(values: pd.Series) -> bool:
    if values.dtype == object:
        return all(isinstance(v, Real | Decimal) for v in values.dropna())
    return bool(pd.api.types.is_numeric_dtype(values))


def _is_unicode(values: pd.Series) -> bool:
    """Return whether every text can be stored."""
    try:
        for value in values.dropna().unique() if values.dtype == object else ():
            str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
