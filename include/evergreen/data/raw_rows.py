"""
Turn the Arrow columns of a raw table into pandas, by their types and never by their values.

pandas' own conversion looks at the values: a null makes integers floats, one instant off midnight
gives all others a time of day. Here the type of a column in pandas follows from its Arrow type and
its contract alone, so no row changes because of another row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.types as pt

from evergreen.data.partitions import Partition
from evergreen.errors import DataContractError
from evergreen.spec.data import ColumnContract, TableContract

#: The pandas type of a column by its type in the contract. Integers may be null until the rows
#: that break the contract are gone.
PANDAS_TYPES = {
    "string": "str",
    "integer": "Int64",
    "number": "float64",
    "boolean": "boolean",
    "datetime": "datetime64[us, UTC]",
}
#: The type of a column that promises no null, once the rows that break the contract are gone.
WITHOUT_NULL = {"Int64": "int64", "UInt64": "uint64", "boolean": "bool"}
#: A column in which Arrow has no type, for there is no value.
NULL = "null"
#: Of two days, one may hold whole numbers and the other fractions.
NUMBERS = ("Int64", "UInt64", "int64", "uint64", "float64")


def raw_frame(table: pa.Table, *, contract: TableContract, part: Partition) -> pd.DataFrame:
    """
    Return the rows of *table*, shape ``(rows, columns)``, in its order, with an index from 0 on.

    Integers are ``Int64`` (unsigned ones of 64 bits ``UInt64``), fractions, decimals and each
    ``number`` of the contract ``float64``; texts ``str``, also where they are encoded as a
    dictionary; instants microseconds in UTC; dates, times, bytes and nested values Python's own.

    :raises DataContractError: If a name occurs twice, or a value cannot be held by its type.
    """
    if repeated := sorted({n for n in table.column_names if table.column_names.count(n) > 1}):
        raise DataContractError(
            f"{part}: the columns {', '.join(repeated)} occur more than once, so it is not known "
            "which one is meant. Repair the producer, land the day again, then clear this task."
        )
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            found[name] = _series(column, contract.columns.get(name))
        except (pa.ArrowException, ValueError, OverflowError, TypeError, KeyError) as e:
            raise DataContractError(
                f"{part}: column {name!r} of type {column.type} holds a value that cannot be read "
                f"({type(e).__name__}: {e}). Repair the producer or leave the column out of the "
                "file, land the day again, then clear this task."
            ) from e
    return pd.DataFrame(found, index=pd.RangeIndex(table.num_rows))


def keep_sound(
    frame: pd.DataFrame, *, broken: Sequence[int], contract: TableContract
) -> pd.DataFrame:
    """Return *frame* without the rows at the positions *broken*, each column in its final type."""
    rows = frame.drop(index=list(broken))
    promised = {
        name: WITHOUT_NULL[str(rows[name].dtype)]
        for name, rule in contract.columns.items()
        if name in rows and not rule.nullable and str(rows[name].dtype) in WITHOUT_NULL
        # A label that is not there yet is null, whatever its contract promises for later.
        if not rule.known_later
    }
    return rows.astype(promised)


def concat_days(table: str, days: Mapping[date, pd.DataFrame]) -> pd.DataFrame:
    """
    Return the rows of several *days* one below the other.

    :raises DataContractError: If a column has types that do not fit together on two of the days.
    """
    first: dict[str, tuple[date, str]] = {}
    for day, frame in days.items():
        for name in frame:
            first[name] = _common(table, name, first.get(name), (day, _type_of(frame[name])))
    types = {name: "object" if found == NULL else found for name, (_, found) in first.items()}
    whole = [_with_types(frame, types) for frame in days.values()]
    return pd.concat(whole, ignore_index=True)


def _with_types(frame: pd.DataFrame, types: Mapping[str, str]) -> pd.DataFrame:
    columns = {
        name: frame[name].astype(dtype)
        if name in frame and _type_of(frame[name]) != NULL
        else pd.Series(None, index=frame.index, dtype=dtype)
        for name, dtype in types.items()
    }
    return pd.DataFrame(columns, index=frame.index)


def _type_of(column: pd.Series) -> str:
    """Return the type of *column*, or ``null`` where a column without a type holds nothing."""
    name = str(column.dtype)
    return NULL if name == "object" and column.isna().all() else name


def _common(
    table: str, name: str, before: tuple[date, str] | None, found: tuple[date, str]
) -> tuple[date, str]:
    """Return the type that holds both, and the day that had it first."""
    if before is None or before[1] == found[1] or found[1] == NULL:
        return before or found
    if before[1] == NULL:
        return found
    if before[1] in NUMBERS and found[1] in NUMBERS and "float64" in (before[1], found[1]):
        return before[0], "float64"
    raise DataContractError(
        f"{table}: column {name!r} is {before[1]} on {before[0]} and {found[1]} on {found[0]}. "
        "Expected one type on all days. Declare the column under contract, so that each day is "
        "held to it, and land the differing day again."
    )


def _series(column: pa.ChunkedArray, rule: ColumnContract | None) -> pd.Series:
    if rule is not None and pt.is_null(column.type):
        return pd.Series(None, index=range(len(column)), dtype=PANDAS_TYPES[rule.type])
    if rule is not None and rule.type == "number":
        return _fractions(column)
    return arrow_series(column)


def arrow_series(column: pa.ChunkedArray) -> pd.Series:
    """Return *column* in the pandas type of its Arrow type; a dictionary's by what it holds."""
    if pt.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    convert = next((made for fits, made in CONVERSIONS if fits(column.type)), _objects)
    return convert(column)


def _integers(column: pa.ChunkedArray) -> pd.Series:
    if pt.is_uint64(column.type):
        return column.to_pandas(types_mapper={pa.uint64(): pd.UInt64Dtype()}.get)
    return column.cast(pa.int64()).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def _fractions(column: pa.ChunkedArray) -> pd.Series:
    # Arrow refuses to cast integers that a float cannot hold exactly; a number is what it says.
    return column.cast(pa.float64(), safe=False).to_pandas()


def _booleans(column: pa.ChunkedArray) -> pd.Series:
    return column.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)


def _texts(column: pa.ChunkedArray) -> pd.Series:
    return column.cast(pa.large_string()).to_pandas().astype("str")


def _instants(column: pa.ChunkedArray) -> pd.Series:
    zone = column.type.tz and "UTC"
    # Only nanoseconds may be cut; a second too far for microseconds is an error.
    return column.cast(pa.timestamp("us", zone), safe=column.type.unit != "ns").to_pandas()


def _durations(column: pa.ChunkedArray) -> pd.Series:
    return column.cast(pa.duration("us"), safe=False).to_pandas()


def _times(column: pa.ChunkedArray) -> pd.Series:
    return column.cast(pa.time64("us"), safe=False).to_pandas()


def _objects(column: pa.ChunkedArray) -> pd.Series:
    """Return Python's own values, None for null."""
    return pd.Series(column.to_pylist(), dtype=object)


_Test = Callable[[pa.DataType], bool]
CONVERSIONS: tuple[tuple[_Test, Callable[[pa.ChunkedArray], pd.Series]], ...] = (
    (pt.is_integer, _integers),
    (pt.is_boolean, _booleans),
    (lambda t: pt.is_floating(t) or pt.is_decimal(t), _fractions),
    (lambda t: pt.is_string(t) or pt.is_large_string(t) or pt.is_string_view(t), _texts),
    (pt.is_timestamp, _instants),
    (pt.is_duration, _durations),
    (pt.is_time, _times),
)
