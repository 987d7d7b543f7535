"""A raw row becomes the same in pandas whatever the other rows of its file hold."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.data.parquet import read_table
from evergreen.data.partitions import Partition
from evergreen.data.raw_rows import concat_days, keep_sound, raw_frame
from evergreen.errors import DataContractError
from evergreen.spec.data import ColumnContract, TableContract

DAY = date(2026, 1, 5)
PART = Partition(table="orders", day=DAY, key="raw/orders/2026-01-05.parquet")
FREE = TableContract()
INSTANTS = st.datetimes(datetime.fromisoformat("1700-01-01"), datetime.fromisoformat("2200-01-01"))
#: Arrow types, and values that they hold.
COLUMNS = st.sampled_from(
    [
        (pa.int8(), st.integers(-128, 127)),
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float32(), st.floats(width=32, allow_nan=False)),
        (pa.float64(), st.floats(allow_nan=False)),
        (pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
        (pa.bool_(), st.booleans()),
        (pa.string(), st.text(st.characters(exclude_categories=["Cs"]))),
        (pa.large_string(), st.sampled_from(["7", "7.0", "true", ""])),
        (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["a", "b"])),
        (pa.dictionary(pa.int8(), pa.int64()), st.integers(0, 2**62)),
        (pa.date32(), st.dates()),
        (pa.time64("ns"), st.times()),
        (pa.timestamp("us"), INSTANTS),
        (pa.timestamp("ms", "Europe/Berlin"), INSTANTS),
        (pa.timestamp("ns", "UTC"), INSTANTS),
        (pa.duration("s"), st.timedeltas(timedelta(days=-9), timedelta(days=9))),
        (pa.binary(), st.binary()),
        (pa.list_(pa.int64()), st.lists(st.integers(0, 9))),
    ]
)


def _array(values, kind):
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.timestamp("us", kind.tz)).cast(kind, safe=False)
    if pa.types.is_duration(kind):
        return pa.array(values, pa.duration("us")).cast(kind, safe=False)
    return pa.array(values, kind)


@settings(max_examples=200, deadline=None)
@given(column=COLUMNS, data=st.data())
def test_other_rows_never_change_a_row(column, data):
    """Property: a row alone, among others and beside nulls has one value and one type."""
    kind, values = column
    rows = data.draw(st.lists(values, min_size=1, max_size=6))
    place = data.draw(st.integers(0, len(rows) - 1))
    others = [v if n == place or data.draw(st.booleans()) else None for n, v in enumerate(rows)]

    alone, full, thin = (
        raw_frame(pa.table({"c": _array(v, kind)}), contract=FREE, part=PART)["c"]
        for v in ([rows[place]], rows, others)
    )

    assert alone.dtype == full.dtype == thin.dtype
    assert repr(alone[0]) == repr(full[place]) == repr(thin[place])


def _by_duckdb(path):
    rows = f"values (7::bigint, {2**60 + 1}::bigint), (null, null)"
    duckdb.sql(f"copy (select * from ({rows}) as t(plan, id)) to '{path}' (format parquet)")


def _by_pyarrow(path):
    table = pa.table({"plan": pa.array([7, None]), "id": pa.array([2**60 + 1, None])})
    pq.write_table(table.replace_schema_metadata(None), path)


@pytest.mark.parametrize("write", [_by_duckdb, _by_pyarrow])
def test_ids_and_codes_of_files_without_metadata_of_pandas_stay_whole(write, tmp_path):
    path = tmp_path / "day.parquet"
    write(path)

    frame = raw_frame(read_table(path.read_bytes()), contract=FREE, part=PART)

    assert frame["id"][0] == 2**60 + 1
    assert str(frame["plan"].dtype) == "Int64"
    assert frame.index.tolist() == [0, 1]


def test_an_index_that_pandas_wrote_is_no_row_number():
    """With repeated labels, two broken rows used to take two good ones with them."""
    table = pa.Table.from_pandas(pd.DataFrame({"x": range(6)}, index=[0, 0, 1, 1, 2, 2]))

    frame = raw_frame(table, contract=FREE, part=PART)

    assert keep_sound(frame, broken=[0, 1], contract=FREE)["x"].tolist() == [2, 3, 4, 5]


def test_what_a_contract_promises_is_kept_once_broken_rows_are_gone():
    contract = TableContract(
        columns={
            "id": ColumnContract(type="integer"),
            "plan": ColumnContract(type="integer", nullable=True),
            "price": ColumnContract(type="number"),
            "paid": ColumnContract(type="boolean", known_later=True),
        }
    )
    table = pa.table(
        {
            "id": pa.array([2**60 + 1, None]),
            "plan": pa.array([1, 2]),
            "price": pa.array([1, 2]),
            "paid": pa.nulls(2),
        }
    )

    frame = raw_frame(table, contract=contract, part=PART)
    kept = keep_sound(frame, broken=[1], contract=contract)

    assert {name: str(dtype) for name, dtype in kept.dtypes.items()} == {
        "id": "int64",
        "plan": "Int64",
        "price": "float64",
        "paid": "boolean",
    }
    assert kept["id"].tolist() == [2**60 + 1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62], pa.timestamp("s")),
        pa.array([2**62], pa.timestamp("s", "UTC")),
        pa.array([2**30], pa.date32()),
        pa.array([2**60], pa.date64()),
    ],
)
def test_a_value_beyond_its_type_names_column_and_day(column):
    with pytest.raises(DataContractError, match=r"orders of 2026-01-05 .*column 'far'"):
        raw_frame(pa.table({"far": column}), contract=FREE, part=PART)


def test_a_name_that_occurs_twice_is_refused():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])

    with pytest.raises(DataContractError, match="columns a occur more than once"):
        raw_frame(table, contract=FREE, part=PART)


def _day(values, kind=None):
    return raw_frame(pa.table({"c": pa.array(values, kind)}), contract=FREE, part=PART)


@pytest.mark.parametrize(
    ("first", "second", "dtype"),
    [
        (_day([1]), _day([2], pa.int8()), "Int64"),
        (_day([1]), _day([2.5]), "float64"),
        (_day([1]), _day([Decimal("2.5")]), "float64"),
        (_day([1]), _day([None]), "Int64"),
        (_day([None]), _day(["a"]), "str"),
        (_day(["a"]), _day(["b"], pa.large_string()), "str"),
        (_day([None]), _day([None]), "object"),
    ],
)
def test_days_whose_types_fit_are_put_together(first, second, dtype):
    found = concat_days("orders", {DAY: first, DAY + timedelta(days=1): second})

    assert str(found["c"].dtype) == dtype
    assert len(found) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_day([1]), _day(["1"])),
        (_day([True]), _day([1])),
        (_day([date(2026, 1, 1)]), _day(["2026-01-01"])),
        (_day([datetime.fromisoformat("2026-01-01")]), _day([1], pa.timestamp("us", "UTC"))),
    ],
)
def test_days_whose_types_do_not_fit_are_both_named(first, second):
    with pytest.raises(DataContractError, match=r"'c' is .* on 2026-01-05 and .* on 2026-01-06"):
        concat_days("orders", {DAY: first, DAY + timedelta(days=1): second})


def test_a_column_that_one_day_lacks_keeps_its_type():
    without = _day([1]).drop(columns="c").assign(other=1.0)

    found = concat_days("orders", {DAY: _day([2**60 + 1]), DAY + timedelta(days=1): without})

    assert str(found["c"].dtype) == "Int64"
    assert found["c"][0] == 2**60 + 1
