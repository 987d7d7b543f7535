"""
Turn the raw rows of one day into examples, each day once.

A day's examples are kept under the digest of everything that made them: raw bytes, contract and
the code of ``prepare.py``.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

import pandas as pd

from evergreen.data import examples
from evergreen.data.parquet import to_parquet
from evergreen.data.partitions import open_partition, partition
from evergreen.data.raw_rows import PANDAS_TYPES, concat_days, keep_sound, raw_frame
from evergreen.data.window import DayRange
from evergreen.digests import prepare_digest
from evergreen.errors import CandidateError, DataContractError, EvergreenError
from evergreen.model_code import load_model_code
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import DayVerdict
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import canonical_json, digest_of, find_or_make, put_once
from evergreen.values import Frozen

log = logging.getLogger(__name__)

Prepare = Callable[[dict[str, pd.DataFrame], date], pd.DataFrame]
Verdicts = Mapping[tuple[str, date], DayVerdict]

#: Raise this when the layout of prepared examples changes: it is part of every day's digest.
EXAMPLES_FORMAT = "3"
#: Stands for the table in the name of quarantined rows that ``prepare`` returned.
EXAMPLES = "examples"


class PreparedDay(Frozen):
    """One day of examples in the store, with what a window needs to know without reading it."""

    day: date
    data: ObjectRef
    rows: int
    labelled: examples.Labelled
    columns: dict[str, examples.ColumnSummary]
    #: The type of each column of the entity key, and the text of the label's other class.
    key_types: dict[str, str]
    negative: str | None
    #: Rows of ``prepare`` that could not be used: how many, by reason, and where they are kept.
    left_out: dict[str, int]
    quarantine: ObjectRef | None


def load_prepare(model: str) -> Prepare:
    """
    Return the user's ``prepare`` function.

    :raises CandidateError: If ``prepare.py`` cannot be imported or has no such function.
    """
    try:
        prepare: Prepare = load_model_code(model, "prepare").prepare
    except CandidateError:
        raise
    except (Exception, SystemExit) as error:
        raise CandidateError(
            f"include/models/{model}/prepare.py gave {type(error).__name__}: {error}. "
            "Expected a module with a function prepare(raw, day)."
        ) from error
    return prepare


def prepare_day(
    store: ObjectStore, spec: ModelSpec, *, day: date, verdicts: Verdicts, prepare: Prepare
) -> tuple[PreparedDay, bool]:
    """Return the examples of *day*, and whether they had to be made."""
    cache_key = _cache_key(spec, day=day, verdicts=verdicts)

    def make() -> PreparedDay:
        raw = {
            table: _raw_rows(store, spec, table=table, day=day, verdicts=verdicts)
            for table in spec.tables
        }
        returned = _called(prepare, raw, spec, day)
        return _kept(store, spec, day, examples.checked(returned, spec=spec.examples, day=day))

    key = layout.examples_record(spec.model, day, cache_key)
    return find_or_make(store, key, PreparedDay, make)


def _called(
    prepare: Prepare, raw: dict[str, pd.DataFrame], spec: ModelSpec, day: date
) -> pd.DataFrame:
    """
    Return what ``prepare`` makes of *raw*.

    :raises CandidateError: If it raises anything, with the day, the file and the line.
    """
    try:
        return prepare(raw, day)
    except EvergreenError:
        raise
    except (Exception, SystemExit) as error:
        calls = traceback.extract_tb(error.__traceback__)
        folder = f"/models/{spec.model}/"
        place = next((call for call in reversed(calls) if folder in call.filename), calls[-1])
        file = place.filename.rpartition(folder)[2] or place.filename
        raise CandidateError(
            f"include/models/{spec.model}/{file}, line {place.lineno}: prepare gave "
            f"{type(error).__name__}: {error} for {day}. Nothing was stored. Change the file, or "
            "land the day again if its data are wrong, then clear this task."
        ) from error


def _kept(
    store: ObjectStore, spec: ModelSpec, day: date, rows: examples.CheckedRows
) -> PreparedDay:
    """Store the *rows* of *day*, those that were left out in quarantine."""
    quarantine = None
    if len(rows.left_out):
        shown = rows.left_out.drop(columns=sorted(spec.personal_inputs))
        shown = shown.assign(quarantine_reason=rows.reasons)
        folder = layout.quarantine_folder(spec.model, EXAMPLES, day)
        quarantine = put_once(store, folder, to_parquet(shown), suffix=".parquet")
        log.warning(
            "%d of the rows that prepare returned for %s were left out, they are in %s: %s",
            len(rows.left_out),
            day,
            quarantine.key,
            "; ".join(f"{n} x {what}" for what, n in rows.reasons.value_counts().items()),
        )
    return PreparedDay(
        day=day,
        data=put_once(
            store,
            layout.examples_folder(spec.model, day),
            to_parquet(rows.frame),
            suffix=".parquet",
        ),
        rows=len(rows.frame),
        labelled=examples.labelled(rows.frame, spec=spec.examples),
        columns=examples.summarise(rows.frame, spec=spec.examples),
        key_types=rows.key_types,
        negative=rows.negative,
        left_out={str(k): int(n) for k, n in rows.reasons.value_counts().sort_index().items()},
        quarantine=quarantine,
    )


def refuse_other_types(days: Iterable[PreparedDay], spec: ModelSpec) -> None:
    """
    Check that the entity key and the label mean the same on all of *days*.

    :raises DataContractError: If a key has another type, or the label a third value, on another
        day; both days are named.
    """
    first: dict[str, tuple[date, str]] = {}
    for prepared in days:
        found = dict(prepared.key_types) if prepared.rows else {}
        if prepared.negative is not None:
            found[f"{spec.examples.label} that is not {spec.examples.positive_class}"] = repr(
                prepared.negative
            )
        for what, kind in found.items():
            day, before = first.setdefault(what, (prepared.day, kind))
            if before != kind:
                raise DataContractError(
                    f"{what}: {before} on {day}, {kind} on {prepared.day}. Expected the same on "
                    "all days. Let prepare.py convert it, or repair the producer and land the "
                    "differing day again. Nothing was trained."
                )


def _cache_key(spec: ModelSpec, *, day: date, verdicts: Verdicts) -> str:
    used = [
        f"{table} {d} {verdicts[table, d].raw_sha256} {verdicts[table, d].broken}"
        for table, rule in spec.raw_tables.items()
        for d in DayRange(
            first=day - timedelta(days=rule.lookback_days), end=day + timedelta(days=1)
        )
        if d not in spec.source.closed
    ]
    columns = canonical_json(spec.examples.model_dump(mode="json"))
    return digest_of(EXAMPLES_FORMAT, prepare_digest(spec.model), columns, *used)


def _raw_rows(
    store: ObjectStore, spec: ModelSpec, *, table: str, day: date, verdicts: Verdicts
) -> pd.DataFrame:
    """Return the rows of *table* that ``prepare`` may see for *day*, quarantined ones left out."""
    lookback = timedelta(days=spec.raw_tables[table].lookback_days)
    contract = spec.contract_of(table)
    frames: dict[date, pd.DataFrame] = {}
    for d in DayRange(first=day - lookback, end=day + timedelta(days=1)):
        if d in spec.source.closed:
            continue
        part, verdict = partition(spec, table=table, day=d), verdicts[table, d]
        data = store.get(part.key)
        if sha256_of(data) != verdict.raw_sha256:
            raise DataContractError(
                f"{part} was replaced after it was validated in this run. Nothing was prepared "
                "from it. Clear validate_data and the tasks after it."
            )
        rows = raw_frame(open_partition(part, data), contract=contract, part=part)
        rows = _with_late_columns(rows, contract)
        frames[d] = keep_sound(rows, broken=verdict.broken, contract=contract)
    return concat_days(table, frames)


def _with_late_columns(frame: pd.DataFrame, contract: TableContract) -> pd.DataFrame:
    """Return *frame* with a null of its type for every label column that did not come yet."""
    late = {
        name: pd.Series(None, index=frame.index, dtype=PANDAS_TYPES[rule.type])
        for name, rule in contract.columns.items()
        if rule.known_later and name not in frame
    }
    return frame.assign(**late)
