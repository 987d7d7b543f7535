"""Raw partitions: where they lie, which of them a run needs, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from evergreen.data.window import DayRange, scoring_day, training_window
from evergreen.errors import AsOfError, DataContractError, MissingPartitionError
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

#: A key of a Parquet file's metadata: the file has no row because nothing happened on its day.
CLOSED_MARK = b"evergreen.closed"
#: The last bytes of each whole Parquet file, encrypted ones too.
PARQUET_END = (b"PAR1", b"PARE")
SETTLED_AFTER = timedelta(minutes=1)
#: How other files than Parquet begin, and what they are.
OTHER_FILES = (
    (b"PARE", "Parquet with an encrypted footer, which cannot be read without its key"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive, as a spreadsheet is one"),
    (b"ARROW1", "an Arrow or Feather file"),
    (b"FEA1", "a Feather file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file that it stands for"),
    (b"<", "HTML or XML, perhaps the error page of a server"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One day of one table, as an object in the store."""

    table: str
    day: date
    key: str

    def __str__(self) -> str:
        return f"{self.table} of {self.day} ({self.key})"


def partition(spec: ModelSpec, *, table: str, day: date) -> Partition:
    """Return where *day* of *table* lies, whether or not it has landed."""
    return Partition(
        table=table, day=day, key=spec.raw_tables[table].path.format(day=day.isoformat())
    )


def needed(spec: ModelSpec, *, days: DayRange) -> list[Partition]:
    """Return every partition that preparing *days* reads, oldest first; closed days have none."""
    found = [
        partition(spec, table=name, day=day)
        for name, table in spec.raw_tables.items()
        for day in DayRange(first=days.first - timedelta(days=table.lookback_days), end=days.end)
        if day not in spec.source.closed
    ]
    return sorted(found, key=lambda p: (p.day, p.table))


def missing(store: ObjectStore, partitions: list[Partition]) -> Iterator[Partition]:
    """Yield the partitions that have not landed."""
    return (p for p in partitions if not has_landed(store, p.key))


def has_landed(store: ObjectStore, key: str) -> bool:
    """
    Return whether the object at *key* is there, and no producer still writes it.

    A folder shows a file from its first byte on. One that was written lately and does not end as
    Parquet does is looked at again; after :data:`SETTLED_AFTER` it is what its producer meant.
    """
    head = store.head(key)
    if head is None or layout.is_manifest(key):
        return head is not None
    if datetime.now(UTC) - head.written_at > SETTLED_AFTER:
        return True
    return store.get(key).endswith(PARQUET_END)


def explain_missing(
    absent: list[Partition], *, store_uri: str, waited_hours: float
) -> MissingPartitionError:
    """Return the error for partitions that did not come in time: which, where, what to do."""
    lines = [f"  {p}" for p in absent[:10]]
    more = [f"  ... and {len(absent) - 10} more"] if len(absent) > 10 else []
    return MissingPartitionError(
        "\n".join(
            [
                f"{len(absent)} partition(s) did not arrive within {waited_hours:g} hours:",
                *lines,
                *more,
                f"Nothing was trained or scored. Land them in {store_uri} and clear this task.",
            ]
        )
    )


def refuse_days_before_data(
    store: ObjectStore, spec: ModelSpec, absent: Iterable[Partition]
) -> None:
    """
    Check that none of the *absent* partitions is older than everything that has landed.

    Waiting does not bring them. A table of which nothing has landed is waited for.

    :raises AsOfError: With the oldest day that landed and the oldest that the run needs.
    """
    first: dict[str, Partition] = {}
    for part in sorted(absent, key=lambda one: one.day):
        first.setdefault(part.table, part)
    for table, part in first.items():
        oldest = _oldest_landed(store, spec, table) if table in spec.raw_tables else None
        if oldest is not None and part.day < oldest:
            raise AsOfError(
                f"The run needs {part}, and the first day of {table} that has landed is {oldest}. "
                "Older days do not arrive by waiting. Nothing was done. Give a later as_of, "
                "shorten the window in model.yaml, or land the older days and clear this task."
            )


def _oldest_landed(store: ObjectStore, spec: ModelSpec, table: str) -> date | None:
    """Return the oldest day of *table* that has landed; keys are listed in order of their days."""
    before, after = spec.raw_tables[table].path.split("{day}")
    for key in store.list(before):
        text = key.removeprefix(before).removesuffix(after)
        if key == f"{before}{text}{after}":
            try:
                return date.fromisoformat(text)
            except ValueError:
                continue
    return None


def open_partition(part: Partition, data: bytes) -> pa.Table:
    """
    Return the rows of *part*.

    No row is right only where the producer says that the day is closed.

    :raises DataContractError: If *data* is not Parquet, or holds no row and does not say why.
    """
    import pyarrow as pa  # heavy, and only tasks read partitions

    from evergreen.data.parquet import read_table

    try:
        table = read_table(data)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataContractError(
            f"{part} cannot be read: found {len(data)} bytes that are not a whole Parquet file, "
            f"but {kind_of_file(data)} ({error}). Write Parquet, land the day again, then clear "
            "this task."
        ) from error
    if table.num_rows == 0 and not is_closed(table):
        raise DataContractError(
            f"{part} is empty: found 0 rows, expected at least 1. Whether nothing happened or the "
            "data are lost is not known here. Land the day again; or, if there was nothing, name "
            "the day in source.closed of model.yaml, or let the producer write the key "
            f"{CLOSED_MARK.decode()} into the file's metadata. Then clear this task."
        )
    return table


def kind_of_file(data: bytes) -> str:
    """Return what *data*, which is no Parquet file, seems to be."""
    if not data:
        return "an empty file"
    if data.startswith(b"PAR1"):
        end = "its end is damaged" if data.endswith(b"PAR1") else "it was cut short"
        return f"the beginning of one: {end}"
    for begin, kind in OTHER_FILES:
        if data.startswith(begin):
            return kind
    try:
        first = data[:4096].decode("utf-8-sig").splitlines()[0]
    except (UnicodeDecodeError, IndexError):
        return "a file of another format"
    marks = [mark for mark in ",;\t|" if mark in first]
    return "text with separated values, such as CSV" if marks else "text"


def is_closed(table: pa.Table) -> bool:
    """Return whether the producer says that there was nothing on the day of *table*."""
    return table.num_rows == 0 and CLOSED_MARK in (table.schema.metadata or {})


Scope = Literal["training", "scoring", "monitoring"]


def days_needed(
    spec: ModelSpec, *, as_of: datetime, scope: Scope, first_day: date | None = None
) -> DayRange:
    """
    Return the days whose examples a run at *as_of* needs.

    :param first_day: The first day that a score run answers for; None is the newest only.
    """
    if scope == "training":
        return training_window(as_of, spec.window).days
    day = scoring_day(as_of)
    first = first_day if scope == "scoring" and first_day is not None else day
    return DayRange(first=first, end=day + timedelta(days=1))


def partitions_of(
    spec: ModelSpec, *, as_of: datetime, scope: Scope, first_day: date | None = None
) -> list[Partition]:
    """Return all that a run at *as_of* waits for; monitoring wants the day's predictions too."""
    parts = needed(spec, days=days_needed(spec, as_of=as_of, scope=scope, first_day=first_day))
    if scope == "monitoring":
        day = scoring_day(as_of)
        key = layout.predictions_manifest(spec.model, day)
        parts.append(Partition(table="predictions", day=day, key=key))
    return parts
