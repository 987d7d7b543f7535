"""
Measure what came of the predictions, as labels arrive: late, out of order, twice.

A day's predictions and the labels known at ``as_of`` are joined once per content of either. A label
that comes later, or comes again changed, makes another join, and the windows with that day in them
are measured again; all others are found as they are.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evergreen import examples, metrics, registry
from evergreen.baselines import trivial_baseline
from evergreen.errors import MonitoringError
from evergreen.estimation import calibrated, expected_metrics
from evergreen.landed import LandedDay, landed_days
from evergreen.metrics import Predictions, Truth, classes_among
from evergreen.receipts import (
    Colour,
    EvaluationReceipt,
    LateLabels,
    ObjectRef,
    QualityReceipt,
    SliceQuality,
    VersionQuality,
    Window,
)
from evergreen.spec import ModelSpec
from evergreen.spec.policy import METRICS, Metric
from evergreen.storage import (
    ObjectStore,
    canonical_json,
    digest_of,
    put_json_once,
    put_once,
    read,
)
from evergreen.tables import from_parquet, to_parquet
from evergreen.values import Frozen
from evergreen.window import Days, scoring_day, start_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

#: With fewer days than this nobody can say what share of labels is usual.
MIN_DAYS_TO_KNOW = 7
#: Raise this when a window is measured in another way.
FORMAT = "1"


class JoinedDay(Frozen):
    """One scored day with the labels that were known, and what did not fit together."""

    day: date
    version: str
    rows: int
    labelled: int
    unmatched: int
    data: ObjectRef


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Scored rows with their labels, those that have none yet included."""

    spec: ModelSpec
    frame: pd.DataFrame

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Every class that a label or a score names, sorted; none unless there are several."""
        scored = [c.removeprefix("score_") for c in self.frame if c.startswith("score_")]
        return classes_among(self.spec.examples, self.frame["label"].dropna(), scored)

    @property
    def labelled(self) -> Rows:
        """Those that have a label."""
        return Rows(spec=self.spec, frame=self.frame[self.frame["label"].notna()])

    def truth(self, classes: tuple[str, ...]) -> Truth:
        """Return the labels; every row must have one."""
        named = self.spec.examples.model_copy(update={"label": "label"})
        return Truth.of(self.frame, spec=named, classes=classes)

    def said(self, classes: tuple[str, ...]) -> Predictions:
        """Return the scores: shape ``(rows,)``, or ``(rows, classes)``; 0 for an unknown class."""
        if self.spec.examples.problem != "multiclass":
            return np.asarray(self.frame["score"], dtype=np.float64)
        columns = [f"score_{name}" for name in classes]
        return np.asarray(self.frame.reindex(columns=columns).fillna(0.0), dtype=np.float64)


def measure_quality(
    store: ObjectStore, client: MlflowClient, spec: ModelSpec, *, as_of: datetime
) -> QualityReceipt:
    """
    Measure every scored day within ``quality.lookback_days`` on the labels known at *as_of*.

    Red: over the newest window whose labels are due a metric misses its floor, or the predictions
    are no better than the same for all; that asks for a retrain. Amber: labels are late, or the
    scores of a newer window promise less than a floor. Safe to repeat: equal joins and windows are
    found again.

    :raises MonitoringError: If the newest whole day has no predictions.
    """
    day = scoring_day(as_of)
    days = _joined_days(store, spec, as_of=as_of, day=day)
    if day not in days:
        raise MonitoringError(
            f"{day} of {spec.model} has no predictions, or its data broke the contract, so nothing "
            f"can be measured. Run {spec.model}__score for it, then clear this task."
        )
    measured = [_window(store, spec, days, last=d) for d in _last_days(spec, days, until=day)]
    windows = [window for window, _ in measured]
    due = [w for w in windows if _is_due(spec, w.last, as_of)]
    newest_due = due[-1] if due else None
    late = tuple(_late(spec, days, as_of=as_of))
    chosen = spec.quality.metrics or (spec.metric,)
    floors = spec.quality.floors or spec.gates.floors
    trivial, calibration = None, None
    slices: tuple[SliceQuality, ...] = ()
    if newest_due is not None:
        rows = _rows(store, spec, days, _span(newest_due)).labelled
        trivial = _trivial(rows, spec.metric)
        calibration = _calibration(rows)
        slices = tuple(_slices(rows))
    broken = list(_broken(newest_due, floors, trivial, spec.metric, key="metrics"))
    promised = list(_broken(windows[-1], floors, None, spec.metric, key="estimated"))
    enough = newest_due is not None and newest_due.metrics.get(spec.metric) is not None
    reasons = [
        *(f"quality: {text}" for text in broken),
        *(f"labels: {d.share:.1%} of {d.day} have come, usual are {d.usual:.1%}" for d in late),
        *(f"estimate: {text}" for text in promised),
        *([] if enough else [_too_few(spec, newest_due)]),
    ]
    colour: Colour = (
        "red" if broken else "amber" if late or promised else "green" if enough else "unknown"
    )
    return QualityReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        colour=colour,
        reasons=tuple(reasons),
        asks=bool(broken),
        metric=spec.metric,
        windows=tuple(windows),
        remeasured=sum(is_new for _, is_new in measured),
        slices=slices,
        versions=tuple(_versions(store, client, spec, days)),
        late=late,
        unmatched=sum(found.unmatched for found in days.values()),
        trivial=trivial,
        estimate_error=_estimate_error(due, spec.metric),
        calibration_error=calibration,
        table=_table(store, spec, windows, chosen),
    )


def _joined_days(
    store: ObjectStore, spec: ModelSpec, *, as_of: datetime, day: date
) -> dict[date, JoinedDay]:
    """Return every scored day that a window within reach, or its calibration, looks at."""
    back = 2 * spec.quality.lookback_days + spec.quality.window_days - 1
    reach = Days(first=day - timedelta(days=back), end=day + timedelta(days=1))
    manifests = {d: f"predictions/{spec.model}/{d}/manifest.json" for d in reach}
    scored = {d: json.loads(store.get(key)) for d, key in manifests.items() if store.head(key)}
    if not scored:
        return {}
    landed = landed_days(store, spec, days=Days(first=min(scored), end=reach.end))
    return {
        d: _joined(store, spec, landed[d], manifest, as_of=as_of)
        for d, manifest in sorted(scored.items())
        if d in landed
    }


def _joined(
    store: ObjectStore,
    spec: ModelSpec,
    landed: LandedDay,
    manifest: dict[str, object],
    *,
    as_of: datetime,
) -> JoinedDay:
    prepared = landed.prepared
    said = ObjectRef.model_validate(manifest["predictions"])
    newest = prepared.labelled.newest_known_at
    frame = None
    labels = prepared.labelled.digest
    if newest is not None and newest > as_of:  # some of them came later
        frame = from_parquet(read(store, prepared.data))
        known = examples.known(frame, spec=spec.examples, as_of=as_of)
        labels = examples.labelled(known, spec=spec.examples).digest
    slices = spec.gates.slices.columns
    recipe = digest_of(FORMAT, said.sha256, prepared.data.sha256, labels, *slices)
    folder = f"quality/{spec.model}/{prepared.day}"
    key = f"{folder}/{recipe}.json"
    if store.head(key) is not None:
        return JoinedDay.model_validate_json(store.get(key))
    if frame is None:
        frame = from_parquet(read(store, prepared.data))
    known = examples.known(frame, spec=spec.examples, as_of=as_of)
    entity = list(spec.examples.entity_key)
    came = known[entity].assign(label=known[spec.examples.label])
    kept = frame[entity].assign(**{f"slice_{name}": frame[name] for name in slices})
    predictions = from_parquet(read(store, said))
    rows = predictions.merge(came, on=entity, how="left").merge(kept, on=entity, how="left")
    wanted = [c for c in rows if c == "label" or c.startswith(("score", "slice_"))]
    labelled = int(rows["label"].notna().sum())
    record = JoinedDay(
        day=prepared.day,
        version=str(manifest["version"]),
        rows=len(rows),
        labelled=labelled,
        unmatched=len(came) - labelled,
        data=put_once(store, folder, to_parquet(rows[wanted]), suffix=".parquet"),
    )
    return JoinedDay.model_validate(put_json_once(store, key, record.model_dump(mode="json")))


def _last_days(spec: ModelSpec, days: Mapping[date, JoinedDay], *, until: date) -> list[date]:
    oldest = until - timedelta(days=spec.quality.lookback_days - 1)
    return [d for d in days if d >= oldest]


def _window(
    store: ObjectStore, spec: ModelSpec, days: Mapping[date, JoinedDay], *, last: date
) -> tuple[Window, bool]:
    """Return the window that ends with *last*, and whether it had to be measured."""
    first = last - timedelta(days=spec.quality.window_days - 1)
    span = Days(first=first, end=last + timedelta(days=1))
    before = Days(first=first - timedelta(days=spec.quality.lookback_days), end=first)
    parts = [days[d].data.sha256 for d in span if d in days]
    past = [days[d].data.sha256 for d in before if d in days]
    recipe = digest_of(
        FORMAT, *parts, "calibrated on", *past, str(spec.quality.min_rows), str(spec.seed)
    )
    key = f"quality/{spec.model}/{last}/window-{recipe}.json"
    if store.head(key) is not None:
        return Window.model_validate_json(store.get(key)), False
    rows = _rows(store, spec, days, span)
    window = Window(
        first=max(first, min(days)),
        last=last,
        rows=len(rows.frame),
        labelled=len(rows.labelled.frame),
        metrics=_measured(rows.labelled),
        estimated=_estimated(rows, _rows(store, spec, days, before).labelled),
    )
    kept = put_json_once(store, key, window.model_dump(mode="json"))
    return Window.model_validate(kept), True


def _span(window: Window) -> Days:
    return Days(first=window.first, end=window.last + timedelta(days=1))


def _rows(store: ObjectStore, spec: ModelSpec, days: Mapping[date, JoinedDay], span: Days) -> Rows:
    stored = [read(store, days[d].data) for d in span if d in days]
    found = from_parquet(*stored) if stored else pd.DataFrame({"label": []})
    return Rows(spec=spec, frame=found)


def _measured(rows: Rows) -> dict[str, float | None]:
    nothing: dict[str, float | None] = dict.fromkeys(METRICS[rows.spec.examples.problem])
    if len(rows.frame) < rows.spec.quality.min_rows:
        return nothing
    truth = rows.truth(rows.classes)
    if not truth.is_measurable:
        return nothing
    found = metrics.measure(truth, rows.said(rows.classes))
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _estimated(rows: Rows, past: Rows) -> dict[str, float | None]:
    problem = rows.spec.examples.problem
    if problem == "regression" or rows.frame.empty:
        return dict.fromkeys(METRICS[problem])
    classes = tuple(sorted({*rows.classes, *past.classes}))
    said = chances = rows.said(classes)
    if len(past.frame):
        size = min(len(past.frame), rows.spec.drift.sample_rows)
        some = past.frame.sample(n=size, random_state=rows.spec.seed)
        known = Rows(spec=rows.spec, frame=some)
        chances = calibrated(known.truth(classes), known.said(classes), to=said)
    return dict(expected_metrics(said, chances, problem=problem).items())


def _is_due(spec: ModelSpec, day: date, as_of: datetime) -> bool:
    return start_of(day) + timedelta(days=1 + spec.quality.delay_days) <= as_of


def _late(
    spec: ModelSpec, days: Mapping[date, JoinedDay], *, as_of: datetime
) -> Iterator[LateLabels]:
    """Yield the days of the newest due window of whose labels unusually few have come."""
    shares = {d: f.labelled / f.rows for d, f in days.items() if _is_due(spec, d, as_of)}
    for day in list(shares)[-spec.quality.window_days :]:
        others = [share for d, share in shares.items() if d != day]
        if len(others) < MIN_DAYS_TO_KNOW:
            return
        usual = median(others)
        if shares[day] < spec.quality.min_label_share * usual:
            yield LateLabels(day=day, share=shares[day], usual=usual)


def _trivial(rows: Rows, metric: Metric) -> float | None:
    """Return what the best constant answer, known in hindsight, would have got on *rows*."""
    if rows.frame.empty:
        return None
    truth = rows.truth(rows.classes)
    if not truth.is_measurable:
        return None
    return metrics.value(truth, metric, trivial_baseline(truth, rows=len(truth)))


def _calibration(rows: Rows) -> float | None:
    if len(rows.frame) < rows.spec.quality.min_rows:
        return None
    truth = rows.truth(rows.classes)
    return (
        metrics.calibration_error(truth, rows.said(rows.classes)) if truth.is_measurable else None
    )


def _slices(rows: Rows) -> Iterator[SliceQuality]:
    metric, least = rows.spec.metric, rows.spec.gates.slices.min_rows
    for name in rows.spec.gates.slices.columns:
        for value, some in rows.frame.groupby(f"slice_{name}"):
            found = Rows(spec=rows.spec, frame=some)
            told = _measured(found)[metric] if len(some) >= least else None
            yield SliceQuality(name=f"{name}={value}", rows=len(some), value=told)


def _broken(
    window: Window | None,
    floors: Mapping[Metric, float],
    trivial: float | None,
    metric: Metric,
    *,
    key: str,
) -> Iterator[str]:
    """Say which metrics of *window* are worse than their floor or than a constant answer."""
    if window is None:
        return
    found: dict[str, float | None] = getattr(window, key)
    span = f"{window.first} to {window.last}"
    for name, floor in floors.items():
        value = found.get(name)
        if value is not None and metrics.merit(name, value) < metrics.merit(name, floor):
            yield f"{name} {value:.4f} over {span}, the floor is {floor:g}"
    value = found.get(metric)
    if value is not None and trivial is not None and metrics.gain(metric, value, trivial) <= 0:
        yield f"{metric} {value:.4f} over {span} is no better than the same for all, {trivial:.4f}"


def _too_few(spec: ModelSpec, window: Window | None) -> str:
    if window is None:
        return f"labels: none are due yet, they are {spec.quality.delay_days} days after their day"
    return (
        f"labels: {window.labelled} of {window.rows} rows from {window.first} to {window.last} "
        f"have one, {spec.quality.min_rows} that differ are needed"
    )


def _versions(
    store: ObjectStore, client: MlflowClient, spec: ModelSpec, days: Mapping[date, JoinedDay]
) -> Iterator[VersionQuality]:
    """Yield per version that scored within reach what it promised and what it kept."""
    oldest = max(days) - timedelta(days=spec.quality.lookback_days - 1)
    for number in sorted({f.version for d, f in days.items() if d >= oldest}, key=int):
        mine = [d for d, found in days.items() if d >= oldest and found.version == number]
        rows = Rows(
            spec=spec, frame=from_parquet(*(read(store, days[d].data) for d in mine))
        ).labelled
        yield VersionQuality(
            version=number,
            days=len(mine),
            rows=len(rows.frame),
            offline=_offline(store, client, spec, number),
            realised=_measured(rows)[spec.metric],
        )


def _offline(
    store: ObjectStore, client: MlflowClient, spec: ModelSpec, number: str
) -> float | None:
    version = registry.find_version(client, spec.model, number)
    if version is None:
        return None
    record = registry.tag(version, registry.TAG_EVALUATION)
    judged = EvaluationReceipt.model_validate_json(store.get(record))
    return judged.metrics["challenger"].get(spec.metric)


def _estimate_error(windows: Sequence[Window], metric: Metric) -> float | None:
    """Return how far estimates lay from what came, on average over windows that have both."""
    both = [(w.metrics[metric], w.estimated[metric]) for w in windows]
    gaps = [abs(came - said) for came, said in both if came is not None and said is not None]
    return float(np.mean(gaps)) if gaps else None


def _table(
    store: ObjectStore, spec: ModelSpec, windows: Sequence[Window], chosen: Sequence[Metric]
) -> ObjectRef:
    lines = [
        {
            "first": str(w.first),
            "last": str(w.last),
            "rows": w.rows,
            "labelled": w.labelled,
            "metrics": {name: w.metrics.get(name) for name in chosen},
            "estimated": {name: w.estimated.get(name) for name in chosen},
        }
        for w in windows
    ]
    content = canonical_json({"model": spec.model, "windows": lines})
    return put_once(store, f"quality/{spec.model}", content, suffix=".json")
