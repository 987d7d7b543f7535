"""Evidently's report of a monitored day beside its reference, made once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from html import escape

from evergreen.data.window import start_of
from evergreen.monitoring.drift_distances import PREDICTION
from evergreen.monitoring.drift_samples import Samples, sample_of
from evergreen.monitoring.drift_thresholds import Threshold
from evergreen.receipts.monitoring import DayAlarm, KeptReport
from evergreen.reporting.evidently_report import keep_report
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.records import canonical_json, digest_of, find_or_make
from evergreen.values import Frozen


class DayReport(Frozen):
    """Evidently's report of one day, and how many rows stand on each side of it."""

    kept: KeptReport
    current_rows: int
    reference_rows: int


def report_day(
    samples: Samples, alarm: DayAlarm, against: list[date], limits: Mapping[str, Threshold]
) -> DayReport:
    """
    Return Evidently's report of the day, made now unless it is kept for the same data and limits.

    Evidently numbers the parts of a page at random, so the same report made twice would differ.

    :param against: The days of its reference.
    :param limits: By distance; each is marked on the page.
    """
    store, spec, day = samples.store, samples.spec, alarm.day
    used = [samples.days[d].prepared.data.sha256 for d in (day, *against)]
    marks = {name: found.limit for name, found in limits.items()}
    drift = canonical_json(spec.drift.model_dump(mode="json"))
    shown = canonical_json({"limits": marks, "slow": [one.name for one in alarm.slow]})
    hidden = sorted(spec.personal_inputs)
    cache_key = digest_of(*used, samples.predictor_digest, shown, drift, str(spec.seed), *hidden)
    folder = layout.monitoring_report(spec.model, day)

    def make() -> DayReport:
        reference, current = (
            side.drop(columns=hidden, errors="ignore") for side in sample_of(samples, day, against)
        )
        sizes = {"current_rows": len(current), "reference_rows": len(reference)}
        kept = keep_report(
            store,
            folder=folder,
            reference=reference,
            current=current,
            note=_note(spec, alarm, against, **sizes),
            name=f"{spec.model} {day}",
            at=start_of(day),
            limits=marks,
        )
        return DayReport(kept=kept, **sizes)

    return find_or_make(store, f"{folder}/{cache_key}.json", DayReport, make)[0]


def _note(
    spec: ModelSpec, alarm: DayAlarm, against: list[date], *, reference_rows: int, current_rows: int
) -> str:
    """Return what the reader of the page must know before its first number."""
    slow = ", ".join(one.name for one in alarm.slow)
    verdict = (
        f"{len(alarm.findings)} distances beyond their limits"
        if alarm.is_known
        else "too short a history to tell"
    ) + (f"; slow drift of {escape(slow)} was found" if slow else "")
    days = ", ".join(str(day) for day in reversed(against))
    return (
        '<p style="font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto">'
        f"<strong>{spec.model}, {alarm.day}: {verdict}.</strong> Current: {current_rows} rows of "
        f"that day. Reference: {reference_rows} rows of {days}. &ldquo;Detected&rdquo; means "
        "farther from the reference than the days before it were from theirs; where no limit could "
        "be set, "
        f"beyond Evidently's default. {PREDICTION} is what the champion says of the rows.</p>"
    )
