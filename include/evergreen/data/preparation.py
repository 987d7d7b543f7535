"""
Prepare the examples of a training window, and load those that a run may learn from.

What a run may learn from is decided by its ``as_of``: only what was known by then.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evergreen.data import examples
from evergreen.data.day_validation import is_open
from evergreen.data.parquet import from_parquet
from evergreen.data.prepared_days import (
    PreparedDay,
    Verdicts,
    load_prepare,
    prepare_day,
    refuse_other_types,
)
from evergreen.data.validation import load_verdicts
from evergreen.data.window import SEGMENTS, TrainingWindow, start_of, training_window
from evergreen.errors import DataContractError
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt, WindowManifest
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import (
    canonical_json,
    digest_of,
    put_once,
    read_document,
    read_object,
)

log = logging.getLogger(__name__)

#: What follows where only one class was seen; nothing can be learnt from it in the fit days.
ONE_CLASS = {
    "validation": "candidates cannot be ranked, so the first one is taken.",
    "test": "no metric can be measured, so nothing will be promoted.",
}


@dataclass(frozen=True, kw_only=True)
class WindowDay:
    """One day of a window: where it belongs, what it holds, what of it was known at ``as_of``."""

    segment: str
    prepared: PreparedDay
    known: examples.Labelled
    is_new: bool


def prepare_window(
    store: ObjectStore, spec: ModelSpec, *, window: TrainingWindow, validation: ValidationReceipt
) -> ExamplesReceipt:
    """
    Prepare the days of *window* and describe the rows that were known at its ``as_of``.

    The digest covers exactly those rows: one that happens or becomes known later changes nothing.
    Safe to repeat: days and manifest are immutable objects.

    :raises DataContractError: If a segment has no label, the fit days have only one class, or an
        input is null or constant throughout the training days.
    """
    verdicts = load_verdicts(store, validation)
    entries = _window_days(store, spec, window, verdicts)
    refuse_other_types((entry.prepared for entry in entries), spec)
    _refuse_untrainable(spec, entries)
    digest = digest_of(*(f"{e.segment} {e.prepared.day} {e.known.digest}" for e in entries))
    manifest = _keep_manifest(store, spec, entries, verdicts, as_of=window.as_of, digest=digest)
    return ExamplesReceipt(
        model=spec.model,
        as_of=window.as_of,
        manifest=manifest,
        digest=digest,
        days=len(entries),
        days_prepared=sum(e.is_new for e in entries),
        rows=sum(e.prepared.rows for e in entries),
        labelled={s: sum(e.known.rows for e in entries if e.segment == s) for s in SEGMENTS},
        classes={s: dict(_classes(entries, segment=s)) for s in SEGMENTS},
    )


def _window_days(
    store: ObjectStore, spec: ModelSpec, window: TrainingWindow, verdicts: Verdicts
) -> list[WindowDay]:
    """Prepare each day of *window*, segment by segment."""
    prepare = load_prepare(spec.model)
    entries: list[WindowDay] = []
    made = 0
    for segment in SEGMENTS:
        for day in getattr(window, segment):
            if not is_open(spec, day, verdicts):
                continue
            prepared, is_new = prepare_day(store, spec, day=day, verdicts=verdicts, prepare=prepare)
            known = _known_at(store, spec, prepared, as_of=window.as_of)
            entries.append(
                WindowDay(segment=segment, prepared=prepared, known=known, is_new=is_new)
            )
            made += is_new
            if is_new and made % 20 == 0:
                log.info("prepared %d new days, now at %s", made, day)
    return entries


def _keep_manifest(
    store: ObjectStore,
    spec: ModelSpec,
    entries: Sequence[WindowDay],
    verdicts: Verdicts,
    *,
    as_of: datetime,
    digest: str,
) -> ObjectRef:
    """Write down which objects the window is made of, and from which raw ones."""
    days = [
        {"day": str(e.prepared.day), "segment": e.segment, "data": e.prepared.data.model_dump()}
        for e in entries
    ]
    content = {
        "as_of": as_of.isoformat(),
        "digest": digest,
        "days": days,
        "raw": {v.raw_key: v.raw_sha256 for v in verdicts.values()},
    }
    folder = layout.examples_windows(spec.model)
    return put_once(store, folder, canonical_json(content), suffix=".json")


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
        class, the text of its class, or a number, as the problem requires.
    """
    manifest = read_document(store, receipt.manifest, WindowManifest)
    days = [entry for entry in manifest.days if entry.segment in segments]
    stored = (read_object(store, day.data) for day in days)
    if share >= 1:
        whole = from_parquet(*stored)
        return examples.known(whole, spec=spec.examples, as_of=receipt.as_of)
    drawn = []
    for day, data in zip(days, stored, strict=True):
        known = examples.known(from_parquet(data), spec=spec.examples, as_of=receipt.as_of)
        rng = np.random.default_rng([spec.seed, day.day.toordinal()])
        rows = rng.choice(len(known), round(share * len(known)), replace=False)
        drawn.append(known.iloc[np.sort(rows)])
    return pd.concat(drawn, ignore_index=True)


def load_training(
    store: ObjectStore, spec: ModelSpec, *, receipt: ExamplesReceipt, candidate: str | None = None
) -> tuple[pd.DataFrame, int]:
    """
    Return the labelled examples of the training days, as :func:`load_examples` does.

    Without those whose labels became known after the test days began: a model that was fitted then
    would not have had them. More of them than the spec allows are thinned out evenly, and the log
    says so.

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
    window = training_window(receipt.as_of, spec.window)
    in_time = frame[spec.examples.known_at] <= pd.Timestamp(start_of(window.test.first))
    if not in_time.all():
        log.info(
            "%d of %d labels of the training days were known only after %s and are left out",
            (~in_time).sum(),
            len(frame),
            window.test.first,
        )
        frame = frame[in_time].reset_index(drop=True)
    fit_end = start_of(window.fit.end)
    return frame, int((frame[spec.examples.event_time] < fit_end).sum())


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


def _classes(entries: list[WindowDay], *, segment: str) -> Counter[str]:
    """Count the known labels of *segment* by class; empty for a regression."""
    return sum((Counter(e.known.classes) for e in entries if e.segment == segment), Counter())


def _refuse_untrainable(spec: ModelSpec, entries: list[WindowDay]) -> None:
    errors = []
    for segment in SEGMENTS:
        rows = sum(e.known.rows for e in entries if e.segment == segment)
        classes = _classes(entries, segment=segment)
        is_alike = spec.examples.problem != "regression" and len(classes) < 2
        if rows and not (is_alike and segment == "fit"):
            if is_alike:
                log.warning(
                    "All %d labels of the %s days are %s: %s",
                    rows,
                    segment,
                    ", ".join(classes),
                    ONE_CLASS[segment],
                )
            continue
        days = sum(e.segment == segment for e in entries)
        found = f"all {rows} are {', '.join(classes)}" if rows else "none is known"
        errors.append(
            f"label {spec.examples.label!r} in the {segment} days: {found} in {days} days, "
            "expected at least two classes"
        )
    training = [e.prepared for e in entries if e.segment != "test"]
    for name in spec.examples.features:
        if name not in spec.examples.constant_allowed:
            errors += examples.explain_useless(
                name,
                [day.columns[name] for day in training],
                is_personal=name in spec.personal_inputs,
            )
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
