"""Put a day's predictions into an SQL table too, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.receipts.data import ScoringReceipt
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import read_object

if TYPE_CHECKING:
    from sqlalchemy import Engine

DAY = "scored_day"
#: Values in one statement: databases limit the parameters of one.
VALUES_AT_ONCE = 10_000


def copy_predictions(
    store: ObjectStore, receipt: ScoringReceipt, *, engine: Engine, table: str
) -> int:
    """
    Replace the rows of the receipt's day in *table* by its predictions; return how many they are.

    One transaction, serializable: a reader sees the day before or after, and of two attempts at
    once one fails and is retried. The table is made if it is not there: entity key, scores and
    stamps as in the object store, and ``scored_day``.

    :param table: A name, or ``schema.name``.
    """
    from sqlalchemy import MetaData, Table, delete, inspect

    from evergreen.data.parquet import from_parquet

    schema, _, name = table.rpartition(".")
    rows = from_parquet(read_object(store, receipt.predictions))
    rows.insert(0, DAY, receipt.day)
    with (
        engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection,
        connection.begin(),
    ):
        if inspect(connection).has_table(name, schema=schema or None):
            there = Table(name, MetaData(), schema=schema or None, autoload_with=connection)
            connection.execute(delete(there).where(there.c[DAY] == receipt.day))
        rows.to_sql(
            name,
            connection,
            schema=schema or None,
            if_exists="append",
            index=False,
            method="multi",
            chunksize=VALUES_AT_ONCE // len(rows.columns),
        )
    return len(rows)
