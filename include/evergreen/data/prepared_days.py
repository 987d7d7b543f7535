"""
Turn the raw rows of one day into examples, each day once.

A day's examples are kept under the digest of everything that made them: raw bytes, contract and
the code of ``prepare.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from datetime import date, timedelta

import pandas as pd

from evergreen.data import examples
from evergreen.data.parquet import to_parquet
from evergreen.data.partitions import open_partition, partition
from evergreen.data.window import DayRange
from evergreen.digests import prepare_digest
from evergreen.errors import CandidateError, DataContractError
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import DayVerdict
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import canonical_json, digest_of, find_or_make, put_once
from evergreen.values import Frozen

Prepare = Callable[[dict[str, pd.DataFrame], date], pd.DataFrame]
Verdicts = Mapping[tuple[str, date], DayVerdict]

#: Raise this when the layout of prepared examples changes: it is part of every day's digest.
EXAMPLES_FORMAT = "2"

#: The pandas type of a raw column in which nothing is known yet, by its type in the contract.
NULLS = {
    "string": "str",
    "integer": "float64",
    "number": "float64",
    "boolean": "boolean",
    "datetime": "datetime64[us, UTC]",
}


class PreparedDay(Frozen):
    """One day of examples in the store, with what a window needs to know without reading it."""

    day: date
    data: ObjectRef
    rows: int
    labelled: examples.Labelled
    columns: dict[str, examples.ColumnSummary]


def load_prepare(model: str) -> Prepare:
    """
    Return the user's ``prepare`` function.

    :raises CandidateError: If ``prepare.py`` cannot be imported or has no such function.
    """
    try:
        module = importlib.import_module(f"models.{model}.prepare")
        prepare: Prepare = module.prepare
    except Exception as error:
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
        frame = examples.checked(prepare(raw, day), spec=spec.examples, day=day)
        folder = layout.examples_folder(spec.model, day)
        return PreparedDay(
            day=day,
            data=put_once(store, folder, to_parquet(frame), suffix=".parquet"),
            rows=len(frame),
            labelled=examples.labelled(frame, spec=spec.examples),
            columns=examples.summarise(frame, spec=spec.examples),
        )

    key = layout.examples_record(spec.model, day, cache_key)
    return find_or_make(store, key, PreparedDay, make)


def _cache_key(spec: ModelSpec, *, day: date, verdicts: Verdicts) -> str:
    used = [
        f"{table} {d} {verdicts[table, d].raw_sha256} {verdicts[table, d].broken}"
        for table, rule in spec.raw_tables.items()
        for d in DayRange(
            first=day - timedelta(days=rule.lookback_days), end=day + timedelta(days=1)
        )
    ]
    columns = canonical_json(spec.examples.model_dump(mode="json"))
    return digest_of(EXAMPLES_FORMAT, prepare_digest(spec.model), columns, *used)


def _raw_rows(
    store: ObjectStore, spec: ModelSpec, *, table: str, day: date, verdicts: Verdicts
) -> pd.DataFrame:
    """Return the rows of *table* that ``prepare`` may see for *day*, quarantined ones left out."""
    lookback = timedelta(days=spec.raw_tables[table].lookback_days)
    frames = []
    for d in DayRange(first=day - lookback, end=day + timedelta(days=1)):
        part, verdict = partition(spec, table=table, day=d), verdicts[table, d]
        data = store.get(part.key)
        if sha256_of(data) != verdict.raw_sha256:
            raise DataContractError(
                f"{part} was replaced after it was validated in this run. Nothing was prepared "
                "from it. Clear validate_data and the tasks after it."
            )
        frame = _with_late_columns(open_partition(part, data).to_pandas(), spec.contract_of(table))
        frames.append(frame.drop(index=list(verdict.broken)))
    return pd.concat(frames, ignore_index=True)


def _with_late_columns(frame: pd.DataFrame, contract: TableContract) -> pd.DataFrame:
    """Return *frame* with a null of its type for every label column that did not come yet."""
    late = {
        name: pd.Series(None, index=frame.index, dtype=NULLS[rule.type])
        for name, rule in contract.columns.items()
        if rule.known_later and (name not in frame or frame[name].isna().all())
    }
    return frame.assign(**late)
