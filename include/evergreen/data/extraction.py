"""
Land days of a source, such as a database, as partitions of the object store.

From there on such a day is a day like any other: validated once, kept as it was read, and found
again by a replay. A young day is read again, because labels arrive and rows are corrected. So is a
day that was read by another query.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import date, datetime, timedelta

from evergreen.data.partitions import Partition, needed
from evergreen.data.sources import Source
from evergreen.data.window import DayRange
from evergreen.errors import MissingPartitionError
from evergreen.receipts.data import ExtractionReceipt
from evergreen.spec import ModelSpec
from evergreen.spec.source import ExtractedTable
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import canonical_json, digest_of, put_if_changed

log = logging.getLogger(__name__)


def extract_days(
    store: ObjectStore, spec: ModelSpec, source: Source, *, days: DayRange, as_of: datetime
) -> ExtractionReceipt:
    """
    Land every partition that preparing *days* reads and that is absent, young at *as_of*, or was
    read by another query than the spec has now.

    Safe to repeat: equal rows are equal bytes, in whatever order the database gives them, and an
    unchanged object is not touched. A day without rows is not landed; it is named as ``empty``.

    :raises DataContractError: If a table cannot be read as the spec requires.
    """
    from evergreen.data.parquet import rows_to_parquet  # heavy, with all of pandas

    landed: dict[str, int] = {}
    empty: list[str] = []
    tables = {name: _LandedTable(store, spec, name) for name in spec.source.extracted}
    parts = [
        part for part in needed(spec, days=days) if tables[part.table].is_to_read(part, as_of=as_of)
    ]
    for number, part in enumerate(parts, start=1):
        rows = source.read_day(part)
        if rows.empty:
            empty.append(str(part))
            continue
        if tables[part.table].land(part, rows_to_parquet(rows)):
            landed[part.key] = len(rows)
        if number % 20 == 0:
            log.info("read %d of %d days, now at %s", number, len(parts), part.day)
    return ExtractionReceipt(
        model=spec.model, as_of=as_of, days_read=len(parts), landed=landed, empty=tuple(empty)
    )


def require_rows(receipt: ExtractionReceipt, *, waited_hours: float) -> None:
    """
    Refuse to go on without a day.

    :raises MissingPartitionError: If the source has no row for a day.
    """
    if not receipt.empty:
        return
    named = "\n".join(f"  {part}" for part in receipt.empty[:10])
    raise MissingPartitionError(
        f"{len(receipt.empty)} day(s) had no row in the source after {waited_hours:g} hours:\n"
        f"{named}\nNothing was trained or scored. Load the day, or look at its query in model.yaml "
        "(:start is included, :end is not, both in UTC); then clear this task."
    )


def query_digest(table: ExtractedTable) -> str:
    """Return the digest of all that decides the rows of a day; which days are read is no part."""
    content = table.model_dump(mode="json", exclude={"lookback_days", "refresh_days"})
    return digest_of(canonical_json(content))


class _LandedTable:
    """The landed days of one table, and which query read each, from one listing of each."""

    def __init__(self, store: ObjectStore, spec: ModelSpec, name: str) -> None:
        self.store, self.model, self.name = store, spec.model, name
        self.table = spec.source.extracted[name]
        self.query = query_digest(self.table)
        before_day, _, _ = spec.raw_tables[name].path.partition("{day}")
        self._landed = set(store.list(before_day))
        self._read_by = defaultdict[date, set[str]](set)
        for key in store.list(layout.extraction_record(spec.model, name)):
            day, query = layout.parsed_extraction(key)
            self._read_by[day].add(query)

    def is_to_read(self, part: Partition, *, as_of: datetime) -> bool:
        """Return whether the day is absent, young, or was read by another query."""
        is_young = part.day >= as_of.date() - timedelta(days=self.table.refresh_days)
        is_known = part.key in self._landed and self._read_by[part.day] == {self.query}
        return is_young or not is_known

    def land(self, part: Partition, data: bytes) -> bool:
        """
        Keep a day and that the present query read it; return whether its bytes are new.

        Records of other queries go first: a query that is taken back must read the day again.
        """
        for query in self._read_by[part.day] - {self.query}:
            self.store.delete(self._record(part.day, query))
        is_new = put_if_changed(self.store, part.key, data)
        if self.query not in self._read_by[part.day]:
            self.store.put(self._record(part.day, self.query), self.query.encode())
        return is_new

    def _record(self, day: date, query: str) -> str:
        return layout.extraction_record(self.model, self.name, day, query)
