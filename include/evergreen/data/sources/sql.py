"""Days of tables in a database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from evergreen.data.partitions import Partition
from evergreen.data.window import start_of
from evergreen.errors import DataContractError, SpecError
from evergreen.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine


class SqlSource:
    """
    The queries of a spec, run on one database.

    :param engine: Where they run.
    """

    def __init__(self, spec: ModelSpec, engine: Engine) -> None:
        self.tables, self.engine = spec.source.sql, engine

    def read_day(self, part: Partition) -> pd.DataFrame:
        """Return the rows of a day, sorted by all columns: a database has no order of its own."""
        import pandas as pd
        from sqlalchemy import text
        from sqlalchemy.exc import ProgrammingError

        bounds = {"start": start_of(part.day), "end": start_of(part.day + timedelta(days=1))}
        try:
            with self.engine.connect() as connection:
                rows = pd.read_sql_query(
                    text(self.tables[part.table].query),
                    connection,
                    params=bounds,
                    dtype_backend="pyarrow",
                )
        except pd.errors.DatabaseError as error:
            cause = error.__cause__
            if not isinstance(cause, ProgrammingError):
                raise  # the database is away, and may come back
            raise DataContractError(
                f"The query of source.sql.{part.table} in model.yaml cannot be run: {cause.orig}. "
                "Nothing was landed for this day. Change the query, then clear this task."
            ) from error
        if repeated := sorted(set(rows.columns[rows.columns.duplicated()])):
            raise DataContractError(
                f"The query of source.sql.{part.table} in model.yaml names {', '.join(repeated)} "
                "more than once. Nothing was landed for this day. Give each column its own name."
            )
        return rows.sort_values(list(rows.columns), kind="stable", ignore_index=True)


def open_source(spec: ModelSpec, connection: Any) -> SqlSource:
    """
    Return the database that *connection* names.

    :raises SpecError: If the connection is none to a database.
    """
    if not hasattr(connection, "get_sqlalchemy_engine"):
        raise SpecError(
            f"source.connection: {spec.source.connection!r} is a connection to "
            f"{type(connection).__name__}, which runs no SQL. Name a connection to a database in "
            "model.yaml."
        )
    return SqlSource(spec, connection.get_sqlalchemy_engine())
