"""Where the raw days of a model come from, and which days have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from evergreen.spec.checks import ConnectionId, Path, StartDate, TableName
from evergreen.spec.data import DayCount
from evergreen.values import Frozen


class FileTable(Frozen):
    """
    One table that arrives as one Parquet object a day.

    ``path`` is a key in the object store with ``{day}`` in it. ``lookback_days`` more days are
    handed to ``prepare`` before the day itself, for features that look back.
    """

    path: Path
    lookback_days: DayCount = 0


class ExtractedTable(Frozen):
    """
    One table whose days ``extract_data`` reads and keeps.

    The newest ``refresh_days`` are read again by each run, for labels that arrive and rows that are
    corrected.
    """

    lookback_days: DayCount = 0
    refresh_days: DayCount = 3


class SqlTable(ExtractedTable):
    """
    One table that is read day by day by a query with ``:start`` and ``:end`` as parameters.

    Both are instants in UTC; the day begins at ``:start`` and ends before ``:end``. A day that was
    read is kept; the newest ``refresh_days`` are read again by each run, for labels that come and
    rows that are corrected.
    """

    query: str

    @field_validator("query")
    @classmethod
    def _has_bounds(cls, query: str) -> str:
        text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", query, flags=re.DOTALL)
        absent = [name for name in (":start", ":end") if not re.search(rf"{name}\b", text)]
        if absent:
            raise ValueError(
                f"query must ask for one day, {' and '.join(absent)} not found in it; write for "
                "example select ... where placed_at >= :start and placed_at < :end"
            )
        return query


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)


class ClosedDays(Frozen):
    """
    Days that have no data and need none: weekdays, and single dates.

    A producer can say the same of a day by a Parquet file without rows whose metadata have the key
    ``evergreen.closed``.
    """

    weekdays: Annotated[tuple[Weekday, ...], Field(max_length=6)] = ()
    dates: Annotated[tuple[StartDate, ...], Field(max_length=10_000)] = ()

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and (
            WEEKDAYS[day.weekday()] in self.weekdays or day in self.dates
        )


#: The kinds of tables that ``extract_data`` reads; each has a module in ``evergreen.data.sources``.
EXTRACTED = ("sql",)


class Source(Frozen):
    """
    Where a day of raw data comes from: files in the object store, or an SQL connection.

    Days that are ``closed`` are not waited for, and are no part of training, scores or monitoring.
    """

    files: dict[TableName, FileTable] = Field(default_factory=dict)
    sql: dict[TableName, SqlTable] = Field(default_factory=dict)
    connection: ConnectionId | None = None
    wait_hours: float = Field(default=6, gt=0, le=24 * 14)
    closed: ClosedDays = ClosedDays()

    @field_validator("files", mode="before")
    @classmethod
    def _path_alone_is_enough(cls, files: object) -> object:
        if isinstance(files, dict):
            return {k: {"path": v} if isinstance(v, str) else v for k, v in files.items()}
        return files

    @property
    def kind(self) -> str:
        """What the tables are: ``files``, or the name of a module in ``evergreen.data.sources``."""
        return next(kind for kind in ("files", *EXTRACTED) if getattr(self, kind))

    @property
    def extracted(self) -> Mapping[str, ExtractedTable]:
        """The tables that ``extract_data`` reads, by name; none for files."""
        tables: Mapping[str, ExtractedTable] = getattr(self, self.kind)
        return {} if self.kind == "files" else tables

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        named = [kind for kind in ("files", *EXTRACTED) if getattr(self, kind)]
        if len(named) != 1:
            kinds = " or ".join(("files", *EXTRACTED))
            raise ValueError(f"give either {kinds}, and at least one table in it")
        (kind,) = named
        if kind != "files" and not self.connection:
            raise ValueError(f"{kind} needs connection: the id of an Airflow connection")
        if kind == "files" and self.connection:
            belongs = " or ".join(EXTRACTED)
            raise ValueError(f"connection belongs to {belongs}; files come from the object store")
        return self
