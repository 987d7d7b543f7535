"""Hold one day of one table against its contract: which rows break it, and why."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow.types as pt
from pandera.errors import SchemaErrors
from pyarrow import DataType, Table

from evergreen.data.partitions import Partition
from evergreen.data.window import start_of
from evergreen.errors import DataContractError
from evergreen.spec.data import ColumnContract, TableContract

#: Arrow types that may stand for a contract type. Nothing is cast: a wrong type is a verdict.
TYPE_TESTS = {
    "string": lambda t: pt.is_string(t) or pt.is_large_string(t) or pt.is_string_view(t),
    "integer": pt.is_integer,
    "number": lambda t: pt.is_integer(t) or pt.is_floating(t) or pt.is_decimal(t),
    "boolean": pt.is_boolean,
    "datetime": lambda t: pt.is_timestamp(t) and t.tz is not None,
}

#: pandera's names for two rules, in words for a person.
PLAIN_WORDS = {"not_nullable": "null", "field_uniqueness": "value is not unique"}


def serving_contract(contract: TableContract, *, table: Table) -> TableContract:
    """
    Return what *contract* asks of a day whose labels may not be known yet.

    A column that is ``known_later`` and is not in *table*, or null throughout, is asked nothing;
    one that holds something is held to its word.
    """

    def is_late(name: str, rule: ColumnContract) -> bool:
        times = table.schema.names.count(name)
        if not rule.known_later or times > 1:
            return False
        return times == 0 or bool(table.column(name).null_count == table.num_rows)

    kept = {name: rule for name, rule in contract.columns.items() if not is_late(name, rule)}
    return contract.model_copy(update={"columns": kept})


def check_columns(table: Table, *, contract: TableContract, part: Partition) -> None:
    """
    Check that every promised column is there, has its type and holds something.

    :raises DataContractError: With every broken promise of the table in one message. No budget
        applies: one such error concerns every row.
    """
    errors = list(_column_faults(table, contract))
    if errors:
        raise DataContractError(
            "\n".join(
                [
                    f"{part} breaks its contract in {len(errors)} column(s):",
                    *(f"  {error}" for error in errors),
                    "Nothing was read from it. Repair the producer or the contract in "
                    "model.yaml, land the day again, then clear this task.",
                ]
            )
        )


def _column_faults(table: Table, contract: TableContract) -> list[str]:
    errors = []
    for name, rule in contract.columns.items():
        if table.schema.names.count(name) != 1:
            times = table.schema.names.count(name)
            errors.append(
                f"{name}: found {times} times, expected once; the file has "
                f"{', '.join(table.schema.names)}"
            )
            continue
        column = table.column(name)
        if column.null_count == len(column):  # of no type, or of any: nothing is in it
            if rule.nullable:
                continue
            errors.append(f"{name}: all {len(column)} values are null, expected {rule.type}")
        elif not _has_type(column.type, rule):
            hint = " with a time zone" if rule.type == "datetime" else ""
            errors.append(f"{name}: found type {column.type}, expected {rule.type}{hint}")
    return errors


def _has_type(found: DataType, rule: ColumnContract) -> bool:
    # A whole column of categories may arrive dictionary-encoded; what counts is what it holds.
    return bool(TYPE_TESTS[rule.type](found.value_type if pt.is_dictionary(found) else found))


def broken_rows(frame: pd.DataFrame, *, contract: TableContract, part: Partition) -> pd.Series:
    """
    Return why each broken row is broken: index = row position, value = reasons joined by "; ".

    :param frame: One day of one table, shape ``(rows, columns)``, columns already checked.
    """
    try:
        _row_schema(frame, contract=contract, part=part).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases.dropna(subset=["index"])
        what = cases["check"].astype(str).replace(PLAIN_WORDS)
        # A check of the whole row is reported once per column; its own words name the columns.
        of_column = cases["schema_context"] == "Column"
        what = what.where(~of_column, cases["column"].astype(str) + ": " + what)
        grouped = what.groupby(cases["index"].astype(int))
        return grouped.agg(lambda found: "; ".join(sorted(set(found)))).sort_index()
    return pd.Series(dtype=str)


def _row_schema(
    frame: pd.DataFrame, *, contract: TableContract, part: Partition
) -> pa.DataFrameSchema:
    columns = {name: _row_rules(rule) for name, rule in contract.columns.items()}
    if contract.event_time:
        first, end = start_of(part.day), start_of(part.day) + timedelta(days=1)
        columns[contract.event_time].checks.append(
            pa.Check(lambda s: (s >= first) & (s < end), error=f"outside {part.day} UTC")
        )
    checks = []
    if contract.duplicate_key:
        key = list(contract.duplicate_key)
        checks.append(
            pa.Check(
                lambda rows: ~rows.duplicated(subset=key, keep="first"),
                error=f"repeats {', '.join(key)} of an earlier row",
            )
        )
    return pa.DataFrameSchema(columns, checks=checks, strict=False)


def _row_rules(rule: ColumnContract) -> pa.Column:
    checks = []
    if rule.type == "number":
        checks.append(pa.Check(np.isfinite, error="infinite"))
    if rule.minimum is not None:
        checks.append(pa.Check.ge(rule.minimum, error=f"below {rule.minimum:g}"))
    if rule.maximum is not None:
        checks.append(pa.Check.le(rule.maximum, error=f"above {rule.maximum:g}"))
    if rule.categories is not None:
        checks.append(pa.Check.isin(rule.categories, error="unknown category"))
    if rule.pattern is not None:
        checks.append(
            pa.Check(lambda s, p=rule.pattern: s.str.fullmatch(p), error=f"not like {rule.pattern}")
        )
    return pa.Column(None, checks=checks, nullable=rule.nullable, unique=rule.unique)
