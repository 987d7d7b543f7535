"""
Land days of a source, such as a database, as partitions of the object store.

From there on such a day is a day like any other: validated once, kept as it was read, and found
again by a replay. A young day is read again, because labels arrive and rows are corrected.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from evergreen.data.partitions import Partition, needed
from evergreen.data.sources import Source
from evergreen.data.window import DayRange
from evergreen.errors import MissingPartitionError
from evergreen.receipts.data import ExtractionReceipt
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import put_if_changed

log = logging.getLogger(__name__)


def extract_days(
    store: ObjectStore, spec: ModelSpec, source: Source, *, days: DayRange, as_of: datetime
) -> ExtractionReceipt:
    """
    Land every partition that preparing *days* reads and that is absent, or young at *as_of*.

    Safe to repeat: equal rows are equal bytes, in whatever order the database gives them, and an
    unchanged object is not touched. A day without rows is not landed; it is named as ``empty``.

    :raises DataContractError: If a table cannot be read as the spec requires.
    """
    from evergreen.data.parquet import rows_to_parquet  # heavy, with all of pandas

    landed: dict[str, int] = {}
    empty: list[str] = []
    parts = [part for part in needed(spec, days=days) if _is_to_read(store, spec, part, as_of)]
    for number, part in enumerate(parts, start=1):
        rows = source.read_day(part)
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


def _is_to_read(store: ObjectStore, spec: ModelSpec, part: Partition, as_of: datetime) -> bool:
    young = as_of.date() - timedelta(days=spec.source.extracted[part.table].refresh_days)
    return part.day >= young or store.head(part.key) is None
