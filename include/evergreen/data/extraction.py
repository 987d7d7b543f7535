"""
Land days of an SQL source as partitions of the object store.

From there on a day from a database is a day like any other: validated once, kept as it was read,
and found again by a replay. A young day is read again, for labels come and rows are corrected.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.data.partitions import Partition, needed
from evergreen.data.window import DayRange, start_of
from evergreen.errors import DataContractError, MissingPartitionError
from evergreen.receipts.data import ExtractionReceipt
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import put_if_changed

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

log = logging.getLogger(__name__)


def extract_days(
    store: ObjectStore, spec: ModelSpec, engine: Engine, *, days: DayRange, as_of: datetime
) -> ExtractionReceipt:
    """
    Land every partition that preparing *days* reads and that is absent, or young at *as_of*.

    Safe to repeat: equal rows are equal bytes, in whatever order the database gives them, and an
    unchanged object is not touched. A day without rows is not landed; it is named as ``empty``.

    :raises DataContractError: If a query cannot be run as it is, or names a column twice.
    """
    from evergreen.data.parquet import rows_to_parquet  # heavy, with all of pandas

    landed: dict[str, int] = {}
    empty: list[str] = []
    parts = [part for part in needed(spec, days=days) if _is_asked_for(store, spec, part, as_of)]
    for number, part in enumerate(parts, start=1):
        rows = _read(engine, spec.source.sql[part.table].query, part)
        if rows.empty:
            empty.append(str(part))
            continue
        if put_if_changed(store, part.key, rows_to_parquet(rows)):
            landed[part.key] = len(rows)
        if number % 20 == 0:
            log.info("read %d of %d days, now at %s", number, len(parts), part.day)
    return ExtractionReceipt(
        model=spec.model, as_of=as_of, days_read=len(parts), landed=landed, empty=tuple(empty)
    )


def require_rows(receipt: ExtractionReceipt, *, waited_hours: float) -> None:
    """
    Refuse to go on without a day.

    :raises MissingPartitionError: If a query gave no row for a day.
    """
    if not receipt.empty:
        return
    named = "\n".join(f"  {part}" for part in receipt.empty[:10])
    raise MissingPartitionError(
        f"{len(receipt.empty)} day(s) had no row in the database after {waited_hours:g} hours:\n"
        f"{named}\nNothing was trained or scored. Load the day, or look at its query in model.yaml "
        "(:start is included, :end is not, both in UTC); then clear this task."
    )


def _is_asked_for(store: ObjectStore, spec: ModelSpec, part: Partition, as_of: datetime) -> bool:
    young = as_of.date() - timedelta(days=spec.source.sql[part.table].refresh_days)
    return part.day >= young or store.head(part.key) is None


def _read(engine: Engine, query: str, part: Partition) -> pd.DataFrame:
    """Return the rows of a day, in an order that is theirs and not the database's."""
    import pandas as pd
    from sqlalchemy import text
    from sqlalchemy.exc import ProgrammingError

    bounds = {"start": start_of(part.day), "end": start_of(part.day + timedelta(days=1))}
    try:
        with engine.connect() as connection:
            rows = pd.read_sql_query(
                text(query), connection, params=bounds, dtype_backend="pyarrow"
            )
    except pd.errors.DatabaseError as error:
        cause = error.__cause__
        if not isinstance(cause, ProgrammingError):
            raise  # the database is away, and may come back
        raise DataContractError(
            f"The query of source.sql.{part.table} in model.yaml cannot be run: {cause.orig}. "
            "Nothing was landed for this day. Change the query, then clear this task."
        ) from error
    if twice := sorted(set(rows.columns[rows.columns.duplicated()])):
        raise DataContractError(
            f"The query of source.sql.{part.table} in model.yaml names {', '.join(twice)} more "
            "than once. Nothing was landed for this day. Give each column a name of its own."
        )
    return rows.sort_values(list(rows.columns), kind="stable", ignore_index=True)
