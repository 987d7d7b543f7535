"""
The monitors: the one list that DAG, health page, task logs, metrics and retention read.

To add one, write its module with a ``measure_…`` function, its receipt in
:mod:`evergreen.receipts.monitoring`, an entry here, and a section of ``health.html.j2``
(``docs/extending.md`` walks through it). The DAG processor reads this list, so importing it is
light: each ``measure`` imports its module when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evergreen.receipts.monitoring import (
    DetectionReceipt,
    MonitorReceipt,
    QualityReceipt,
    ServiceReceipt,
    SkewReceipt,
    StalenessReceipt,
)
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.workspace import Workspace

#: A title, the names of columns, and rows of cells.
LogTable = tuple[str, tuple[str, ...], list[tuple[object, ...]]]


def _every_model(spec: ModelSpec) -> bool:
    return True


def _nothing(receipt: Any) -> Iterator[Any]:
    yield from ()


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """
    One thing that is measured every day.

    :param name: Its name on the page, in the stored results and in reasons.
    :param task_id: The task that measures it.
    :param receipt: What it returns.
    :param measure: Measures the newest whole day at an instant.
    :param applies: Whether a model has it.
    :param reads_raw: Whether the day's raw data must hold its contract first.
    :param folders: Kinds of objects that it keeps by day; retention removes the old ones.
    :param tables: What the task log lists.
    :param gauges: Numbers for the metrics system, by name.
    """

    name: str
    task_id: str
    receipt: type[MonitorReceipt]
    measure: Callable[[Workspace, datetime], MonitorReceipt]
    applies: Callable[[ModelSpec], bool] = _every_model
    reads_raw: bool = False
    folders: tuple[layout.Kind, ...] = ()
    tables: Callable[[Any], Iterator[LogTable]] = _nothing
    gauges: Callable[[Any], Iterator[tuple[str, float]]] = _nothing


def monitors_of(spec: ModelSpec) -> list[Monitor]:
    """Return the monitors that the model of *spec* has, in the order of the page."""
    return [monitor for monitor in MONITORS.values() if monitor.applies(spec)]


def _detect_drift(workspace: Workspace, as_of: datetime) -> DetectionReceipt:
    from evergreen.monitoring.drift_detection import detect_drift  # heavy: Evidently

    return detect_drift(workspace, as_of=as_of)


#: Scores of slow drift in the task log, those that moved farthest.
SHOWN_SHIFTS = 8


def _drift_tables(found: DetectionReceipt) -> Iterator[LogTable]:
    rows: list[tuple[object, ...]] = [
        (
            one.name,
            one.distance,
            one.usual,
            one.limit,
            "ALARM" if one.distance > one.limit else "" if one.can_alarm else "cannot alarm",
        )
        for one in sorted(found.columns, key=lambda one: one.share, reverse=True)
    ]
    title = f"{found.day} against {len(found.reference_days)} days, {found.history_days} before"
    yield title, ("distance", "measured", "usual", "limit", ""), rows
    days: list[tuple[object, ...]] = [
        (
            a.day,
            len(a.findings),
            "slow drift found" if a.slow else "" if a.is_known else "not known",
        )
        for a in found.alarms
    ]
    yield "Alarms of the last days", ("day", "beyond limit", ""), days
    shifts: list[tuple[object, ...]] = [
        (one.name, one.baseline, one.recent, one.by_chance, one.since or "")
        for one in (found.slow or ())[:SHOWN_SHIFTS]
    ]
    title = "Slow drift" if found.slow is not None else "Slow drift: too few days to measure it"
    columns = ("score", "seven weeks before", "last three weeks", "by chance", "found on")
    yield title, columns, shifts


def _drift_gauges(found: DetectionReceipt) -> Iterator[tuple[str, float]]:
    if found.columns:
        yield "model_drift", max(column.share for column in found.columns)


def _measure_quality(workspace: Workspace, as_of: datetime) -> QualityReceipt:
    from evergreen.monitoring.quality import measure_quality  # heavy: scikit-learn

    return measure_quality(workspace, as_of=as_of)


def _quality_tables(found: QualityReceipt) -> Iterator[LogTable]:
    metric = found.metric
    windows: list[tuple[object, ...]] = [
        (
            w.first,
            w.last,
            w.labelled,
            w.rows,
            _or_none(w.metrics[metric]),
            _or_none(w.estimated[metric]),
        )
        for w in reversed(found.windows[-10:])
    ]
    title = (
        f"Windows, newest first: {found.remeasured} of {len(found.windows)} were measured again; "
        f"{found.unmatched} labels had no prediction"
    )
    names = ("first", "last", "with a label", "rows", f"{metric}, observed", "estimated")
    yield title, names, windows
    versions: list[tuple[object, ...]] = [
        (v.version, v.rows, _or_none(v.offline), _or_none(v.realised)) for v in found.versions
    ]
    yield "On test days and in service", ("version", "rows", "offline", "in service"), versions
    if found.slices:
        slices: list[tuple[object, ...]] = [
            (s.name, s.rows, _or_none(s.value)) for s in found.slices
        ]
        yield "Slices of the newest due window", ("slice", "rows", metric), slices


def _quality_gauges(found: QualityReceipt) -> Iterator[tuple[str, float]]:
    observed = [window.metrics.get(found.metric) for window in found.windows]
    known = [value for value in observed if value is not None]
    if known:
        yield "model_quality", known[-1]


def _measure_service(workspace: Workspace, as_of: datetime) -> ServiceReceipt:
    from evergreen.monitoring.service_levels import measure_service  # heavy: pandas

    return measure_service(workspace.store, workspace.spec, as_of=as_of)


def _service_tables(found: ServiceReceipt) -> Iterator[LogTable]:
    rows: list[tuple[object, ...]] = [
        ("requests", found.requests),
        ("usual requests", found.usual_requests),
        ("p50, ms", found.p50_ms),
        ("p95, ms", found.p95_ms),
        ("p99, ms", found.p99_ms),
        ("error rate", found.error_rate),
        *((f"requests to version {name}", count) for name, count in found.by_version.items()),
    ]
    yield f"The server on {found.day}", ("what", "value"), rows


def _measure_skew(workspace: Workspace, as_of: datetime) -> SkewReceipt:
    from evergreen.monitoring.training_serving_skew import measure_skew  # heavy: pandas

    return measure_skew(workspace.store, workspace.spec, as_of=as_of)


def _skew_tables(found: SkewReceipt) -> Iterator[LogTable]:
    rows: list[tuple[object, ...]] = [
        (c.name, f"{c.share:.1%}", c.served, c.prepared) for c in found.columns
    ]
    title = f"{found.compared} of {found.served} served rows are examples of {found.day}"
    yield title, ("input", "differs in", "served", "prepared"), rows


def _measure_staleness(workspace: Workspace, as_of: datetime) -> StalenessReceipt:
    from evergreen.monitoring.staleness import measure_staleness  # heavy: scikit-learn

    return measure_staleness(workspace, as_of=as_of)


def _staleness_tables(found: StalenessReceipt) -> Iterator[LogTable]:
    rows: list[tuple[object, ...]] = [
        (f"version {found.version}", found.champion_days, found.champion_limit),
        ("newest data it was trained on", found.data_days, found.data_limit),
        ("last challenged", found.challenged_days, ""),
    ]
    yield f"Ages in days ({found.limit_from})", ("what", "age", "allowed"), rows


def _staleness_gauges(found: StalenessReceipt) -> Iterator[tuple[str, float]]:
    yield "champion_days", found.champion_days


def _or_none(value: float | None) -> float | str:
    return "none" if value is None else value


MONITORS: dict[str, Monitor] = {
    monitor.name: monitor
    for monitor in (
        Monitor(
            name="drift",
            task_id="detect_drift",
            receipt=DetectionReceipt,
            measure=_detect_drift,
            reads_raw=True,
            folders=("distances",),
            tables=_drift_tables,
            gauges=_drift_gauges,
        ),
        Monitor(
            name="quality",
            task_id="measure_quality",
            receipt=QualityReceipt,
            measure=_measure_quality,
            reads_raw=True,
            folders=("quality",),
            tables=_quality_tables,
            gauges=_quality_gauges,
        ),
        Monitor(
            name="service",
            task_id="measure_service",
            receipt=ServiceReceipt,
            measure=_measure_service,
            applies=lambda spec: spec.service is not None,
            folders=("service", "requests"),
            tables=_service_tables,
        ),
        Monitor(
            name="skew",
            task_id="measure_skew",
            receipt=SkewReceipt,
            measure=_measure_skew,
            applies=lambda spec: spec.service is not None and spec.service.watches_skew,
            folders=("skew", "served"),
            tables=_skew_tables,
        ),
        Monitor(
            name="staleness",
            task_id="measure_staleness",
            receipt=StalenessReceipt,
            measure=_measure_staleness,
            tables=_staleness_tables,
            gauges=_staleness_gauges,
        ),
    )
}
