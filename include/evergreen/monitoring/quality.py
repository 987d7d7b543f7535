"""
Measure predictions against labels as they arrive: late, out of order, twice.

A day's predictions and the labels known at ``as_of`` are joined once per content of either. A label
that comes later, or comes again changed, makes another join, and the windows with that day in them
are measured again; all others are found as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from statistics import median

from evergreen.data.parquet import from_parquet
from evergreen.data.window import scoring_day, start_of
from evergreen.errors import MonitoringError
from evergreen.modeling import metrics
from evergreen.modeling.baselines import best_constant
from evergreen.monitoring.label_join import JoinedDay, LabeledRows, joined_days, rows_of
from evergreen.monitoring.quality_decline import evaluation_of_version, measure_decline
from evergreen.monitoring.quality_windows import (
    estimate_error,
    measure_window,
    measured,
    span_of,
)
from evergreen.monitoring.verdict import Verdict
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.monitoring import (
    Colour,
    Decline,
    LateLabels,
    QualityReceipt,
    QualityWindow,
    SliceQuality,
    VersionQuality,
)
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import canonical_json, put_once, read_object
from evergreen.workspace import Workspace

#: With fewer days than this the usual share of labels is not known.
MIN_DAYS_TO_KNOW = 7


def measure_quality(workspace: Workspace, *, as_of: datetime) -> QualityReceipt:
    """
    Measure every scored day within ``quality.lookback_days`` on the labels known at *as_of*.

    Red: over the newest window whose labels are due a metric misses its floor, or the predictions
    are no better than a constant, or the version fell too far behind its own test days; that
    requests a retrain. Amber: it fell by less, its calibration is beyond the limits of the gates,
    labels are late, or the scores of a newer window promise less than a floor. Safe to repeat:
    equal joins and windows are found again.

    :raises MonitoringError: If the newest whole day has no predictions.
    """
    spec, day = workspace.spec, scoring_day(as_of)
    days = joined_days(workspace.store, spec, as_of=as_of, day=day)
    if day not in days:
        raise MonitoringError(
            f"{day} of {spec.model} has no predictions, or its data broke the contract, so nothing "
            f"can be measured. Run {spec.model}__score for it, then clear this task."
        )
    found = [
        measure_window(workspace.store, spec, days, last=d)
        for d in _last_days(spec, days, until=day)
    ]
    windows = [window for window, _ in found]
    due = [w for w in windows if _is_due(spec, w.last, as_of)]
    last = due[-1] if due else None
    scored = rows_of(workspace.store, spec, days, span_of(last)) if last else None
    rows = scored.labelled if scored else None
    trivial = _trivial(rows, spec.metric) if rows is not None else None
    late = tuple(_late(spec, days, as_of=as_of))
    decline = measure_decline(workspace, days, last, scored) if last and scored else None
    verdict = _verdict(spec, windows[-1], last, late, trivial=trivial, decline=decline)
    return QualityReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        colour=verdict.colour,
        reasons=verdict.reasons,
        requests_retrain=verdict.requests_retrain,
        metric=spec.metric,
        windows=tuple(windows),
        remeasured=sum(is_new for _, is_new in found),
        slices=tuple(_slices(rows)) if rows is not None else (),
        versions=tuple(_versions(workspace, days)),
        late=late,
        unmatched=sum(found.unmatched for found in days.values()),
        trivial=trivial,
        estimate_error=estimate_error(due, spec.metric),
        calibration_error=_calibration(rows) if rows is not None else None,
        table=_keep_table(workspace.store, spec, windows),
        decline=decline,
    )


def _verdict(
    spec: ModelSpec,
    newest: QualityWindow,
    due: QualityWindow | None,
    late: Sequence[LateLabels],
    *,
    trivial: float | None,
    decline: Decline | None,
) -> Verdict:
    """
    Conclude from the newest window, the newest one whose labels are due, and the late labels.

    :param trivial: What the best constant answer got on the window whose labels are due.
    :param decline: That window beside the test days of its version.
    """
    floors = spec.quality.floors or spec.gates.floors
    broken = list(_broken(due, floors, trivial, spec.metric, key="metrics"))
    fell = list(_fallen(spec, decline, due))
    if decline is not None and decline.drop > spec.quality.max_drop:
        broken, fell = broken + fell, []
    uncalibrated = [
        f"calibration: {check.name} {check.measured}, required {check.required}"
        for check in (decline.checks if decline else ())
        if check.status == "failed"
    ]
    promised = list(_broken(newest, floors, None, spec.metric, key="estimated"))
    enough = due is not None and due.metrics.get(spec.metric) is not None
    reasons = (
        *(f"quality: {text}" for text in broken),
        *(f"quality: {text}" for text in fell),
        *uncalibrated,
        *(f"labels: {d.share:.1%} of {d.day} have come, usual are {d.usual:.1%}" for d in late),
        *(f"estimate: {text}" for text in promised),
        *([] if enough else [_too_few(spec, due)]),
    )
    colour: Colour = (
        "red"
        if broken
        else "amber"
        if late or promised or fell or uncalibrated
        else "green"
        if enough
        else "unknown"
    )
    return Verdict(colour=colour, reasons=reasons, requests_retrain=bool(broken))


def _last_days(spec: ModelSpec, days: Mapping[date, JoinedDay], *, until: date) -> list[date]:
    oldest = until - timedelta(days=spec.quality.lookback_days - 1)
    return [d for d in days if d >= oldest]


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


def _trivial(rows: LabeledRows, metric: Metric) -> float | None:
    """Return what the best constant answer, known in hindsight, would have got on *rows*."""
    if rows.frame.empty:
        return None
    truth = rows.truth(rows.classes)
    if not truth.is_measurable:
        return None
    return metrics.value(truth, metric, best_constant(truth, metric))


def _calibration(rows: LabeledRows) -> float | None:
    if len(rows.frame) < rows.spec.quality.min_rows:
        return None
    truth = rows.truth(rows.classes)
    return (
        metrics.calibration_error(truth, rows.predicted(rows.classes))
        if truth.is_measurable
        else None
    )


def _slices(rows: LabeledRows) -> Iterator[SliceQuality]:
    metric, least = rows.spec.metric, rows.spec.gates.slices.min_rows
    for name in rows.spec.gates.slices.columns:
        for value, some in rows.frame.groupby(f"slice_{name}"):
            found = LabeledRows(spec=rows.spec, frame=some)
            quality = measured(found)[metric] if len(some) >= least else None
            yield SliceQuality(name=f"{name}={value}", rows=len(some), value=quality)


def _broken(
    window: QualityWindow | None,
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
        yield f"{metric} {value:.4f} over {span} is no better than a constant, {trivial:.4f}"


def _fallen(
    spec: ModelSpec, decline: Decline | None, window: QualityWindow | None
) -> Iterator[str]:
    """Say that a version is shown to be worse than on its test days."""
    if decline is None or window is None or decline.lower <= 0:
        return
    yield (
        f"version {decline.version} gains {decline.in_service:.4f} in {spec.metric} over a "
        f"constant from {window.first} to {window.last}, {decline.on_test_days:.4f} on its test "
        f"days; it fell by {decline.lower:.4f} or more (99%), {spec.quality.max_drop:g} are allowed"
    )


def _too_few(spec: ModelSpec, window: QualityWindow | None) -> str:
    if window is None:
        return f"labels: none are due yet, they are {spec.quality.delay_days} days after their day"
    return (
        f"labels: {window.labelled} of {window.rows} rows from {window.first} to {window.last} "
        f"have one, {spec.quality.min_rows} that differ are needed"
    )


def _versions(workspace: Workspace, days: Mapping[date, JoinedDay]) -> Iterator[VersionQuality]:
    """Yield per version that scored within reach what it promised and what it kept."""
    oldest = max(days) - timedelta(days=workspace.spec.quality.lookback_days - 1)
    for number in sorted({f.version for d, f in days.items() if d >= oldest}, key=int):
        mine = [d for d, found in days.items() if d >= oldest and found.version == number]
        rows = LabeledRows(
            spec=workspace.spec,
            frame=from_parquet(*(read_object(workspace.store, days[d].data) for d in mine)),
        ).labelled
        yield VersionQuality(
            version=number,
            days=len(mine),
            rows=len(rows.frame),
            offline=_offline(workspace, number),
            realised=measured(rows)[workspace.spec.metric],
        )


def _offline(workspace: Workspace, number: str) -> float | None:
    judged = evaluation_of_version(workspace, number)
    return judged.metrics["challenger"].get(workspace.spec.metric) if judged else None


def _keep_table(store: ObjectStore, spec: ModelSpec, windows: Sequence[QualityWindow]) -> ObjectRef:
    """Keep the metric of *windows* as one table, for people."""
    lines = [
        {
            "first": str(w.first),
            "last": str(w.last),
            "rows": w.rows,
            "labelled": w.labelled,
            "metrics": {spec.metric: w.metrics.get(spec.metric)},
            "estimated": {spec.metric: w.estimated.get(spec.metric)},
        }
        for w in windows
    ]
    content = canonical_json({"model": spec.model, "windows": lines})
    return put_once(store, layout.quality_folder(spec.model), content, suffix=".json")
