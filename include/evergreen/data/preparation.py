"""
Turn raw days into examples, each day once.

A day's examples are kept under the digest of everything that made them: raw bytes, contract and
the code of ``prepare.py``. What a run may learn from is decided later, by its ``as_of``.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from evergreen.data import examples
from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.data.partitions import open_partition, partition
from evergreen.data.validation import DayVerdict, load_verdicts
from evergreen.data.window import SEGMENTS, DayRange, TrainingWindow, start_of, training_window
from evergreen.digests import prepare_digest
from evergreen.errors import CandidateError, DataContractError
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import (
    canonical_json,
    digest_of,
    find_or_make,
    put_once,
    read_object,
)
from evergreen.values import Frozen

log = logging.getLogger(__name__)

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


def prepare_window(
    store: ObjectStore, spec: ModelSpec, *, window: TrainingWindow, validation: ValidationReceipt
) -> ExamplesReceipt:
    """
    Prepare the days of *window* and describe the rows that were known at its ``as_of``.

    The digest covers exactly those rows: one that happens or becomes known later changes nothing.
    Safe to repeat: days and manifest are immutable objects.

    :raises DataContractError: If a segment has no label or only one class, or an input is null or
        constant throughout the training days.
    """
    verdicts, prepare = load_verdicts(store, validation), load_prepare(spec.model)
    entries: list[WindowDay] = []
    made = 0
    for segment in SEGMENTS:
        for day in getattr(window, segment):
            prepared, is_new = prepare_day(store, spec, day=day, verdicts=verdicts, prepare=prepare)
            made += is_new
            known = _known_at(store, spec, prepared, as_of=window.as_of)
            entries.append(WindowDay(segment=segment, prepared=prepared, known=known))
            if is_new and made % 20 == 0:
                log.info("prepared %d new days, now at %s", made, day)
    _refuse_untrainable(spec, entries)
    digest = digest_of(*(f"{e.segment} {e.prepared.day} {e.known.digest}" for e in entries))
    manifest = put_once(
        store,
        layout.examples_windows(spec.model),
        canonical_json(
            {
                "as_of": window.as_of.isoformat(),
                "digest": digest,
                "days": [
                    {
                        "day": str(e.prepared.day),
                        "segment": e.segment,
                        "data": e.prepared.data.model_dump(),
                    }
                    for e in entries
                ],
                "raw": {v.raw_key: v.raw_sha256 for v in verdicts.values()},
            }
        ),
        suffix=".json",
    )
    return ExamplesReceipt(
        model=spec.model,
        as_of=window.as_of,
        manifest=manifest,
        digest=digest,
        days=len(entries),
        days_prepared=made,
        rows=sum(e.prepared.rows for e in entries),
        labelled={s: sum(e.known.rows for e in entries if e.segment == s) for s in SEGMENTS},
        classes={s: dict(_classes(entries, segment=s)) for s in SEGMENTS},
    )


def load_examples(
    store: ObjectStore,
    spec: ModelSpec,
    *,
    receipt: ExamplesReceipt,
    segments: tuple[str, ...],
    share: float = 1.0,
) -> pd.DataFrame:
    """
    Return the labelled examples of *segments* that were known at the receipt's ``as_of``.

    :param share: How many of each day's rows to draw, by the spec's seed; 1 takes all. No more than
        the drawn rows and one whole day are in memory at once.
    :return: Shape ``(rows, columns)`` in order of event time; the label is True for the positive
        class, the text of its class, or a number, as the problem asks.
    """
    manifest = json.loads(read_object(store, receipt.manifest))
    days = [entry for entry in manifest["days"] if entry["segment"] in segments]
    stored = (read_object(store, ObjectRef.model_validate(day["data"])) for day in days)
    if share >= 1:
        whole = from_parquet(*stored)
        return examples.known(whole, spec=spec.examples, as_of=receipt.as_of)
    drawn = []
    for day, data in zip(days, stored, strict=True):
        known = examples.known(from_parquet(data), spec=spec.examples, as_of=receipt.as_of)
        rng = np.random.default_rng([spec.seed, date.fromisoformat(day["day"]).toordinal()])
        rows = rng.choice(len(known), round(share * len(known)), replace=False)
        drawn.append(known.iloc[np.sort(rows)])
    return pd.concat(drawn, ignore_index=True)


def load_training(
    store: ObjectStore, spec: ModelSpec, *, receipt: ExamplesReceipt, candidate: str | None = None
) -> tuple[pd.DataFrame, int]:
    """
    Return the labelled examples of the training days, as :func:`load_examples` does.

    More of them than the spec allows are thinned out evenly, and the log says so.

    :param candidate: Whom they are for; the baseline gets no more than its gate says.
    :return: The examples, and how many of them, from the first on, are older than the validation
        days.
    """
    rows = receipt.labelled["fit"] + receipt.labelled["validation"]
    setting, most = spec.row_limit(candidate) or ("", rows)
    share = min(1.0, most / rows)
    if share < 1:
        log.info(
            "training on %.1f%% of each day's rows, %d of %d: %s is %d",
            100 * share,
            round(share * rows),
            rows,
            setting,
            most,
        )
    frame = load_examples(store, spec, receipt=receipt, segments=("fit", "validation"), share=share)
    fit_end = start_of(training_window(receipt.as_of, spec.window).fit.end)
    return frame, int((frame[spec.examples.event_time] < fit_end).sum())


@dataclass(frozen=True, kw_only=True)
class WindowDay:
    """One day of a window: where it belongs, what it holds, what of it was known."""

    segment: str
    prepared: PreparedDay
    known: examples.Labelled


def _known_at(
    store: ObjectStore, spec: ModelSpec, prepared: PreparedDay, *, as_of: datetime
) -> examples.Labelled:
    """Describe the labelled rows known at *as_of*; the day is read only if some arrived later."""
    newest = prepared.labelled.newest_known_at
    if newest is None or newest <= as_of:
        return prepared.labelled
    frame = from_parquet(read_object(store, prepared.data))
    known = examples.known(frame, spec=spec.examples, as_of=as_of)
    return examples.labelled(known, spec=spec.examples)


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


def _classes(entries: list[WindowDay], *, segment: str) -> Counter[str]:
    """Count the known labels of *segment* by class; empty for a regression."""
    return sum((Counter(e.known.classes) for e in entries if e.segment == segment), Counter())


def _refuse_untrainable(spec: ModelSpec, entries: list[WindowDay]) -> None:
    errors = []
    for segment in SEGMENTS:
        rows = sum(e.known.rows for e in entries if e.segment == segment)
        classes = _classes(entries, segment=segment)
        if rows == 0 or (spec.examples.problem != "regression" and len(classes) < 2):
            days = sum(e.segment == segment for e in entries)
            found = f"all {rows} are {', '.join(classes)}" if rows else "none is known"
            errors.append(
                f"label {spec.examples.label!r} in the {segment} days: {found} in {days} days, "
                "expected at least two classes"
            )
    training = [e.prepared for e in entries if e.segment != "test"]
    for name in spec.examples.features:
        if name not in spec.examples.constant_allowed:
            errors += examples.explain_useless(name, [day.columns[name] for day in training])
    if errors:
        raise DataContractError(
            "\n".join(
                [
                    f"The examples of {spec.model!r} cannot be learnt from:",
                    *(f"  {error}" for error in errors),
                    "Nothing was trained. Repair the data or prepare.py; widen the window, or "
                    "name a truly constant input under examples.constant_allowed.",
                ]
            )
        )
