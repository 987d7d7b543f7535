"""
One decision per model and day: what every monitor found, as a colour, and what is done about it.

A monitor without a result makes the day unknown and the run fail. What is known is written to the
page and alerted all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import SerializeAsAny, field_validator

from evergreen.data.window import scoring_day
from evergreen.monitoring.monitors import MONITORS, monitors_of
from evergreen.monitoring.retrain_requests import RetrainDecision, consider_retrain
from evergreen.receipts.monitoring import (
    SEVERITY_ORDER,
    Colour,
    HealthReceipt,
    MonitorReceipt,
)
from evergreen.registry.health_record import find_health
from evergreen.reporting.templates import page_template
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.layout import HEALTH_DATA, HEALTH_PAGE
from evergreen.storage.records import document_bytes
from evergreen.values import Frozen
from evergreen.workspace import Workspace

#: Days before this one that its page shows.
SHOWN_DAYS = 60


class Report(Frozen):
    """
    What the monitors measured on one day, by name in the order of the page.

    None stands for a monitor that the model does not have, or that gave no result.
    """

    results: dict[str, SerializeAsAny[MonitorReceipt] | None]

    @field_validator("results", mode="before")
    @classmethod
    def _receipts(cls, results: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(results) - set(MONITORS))
        if unknown:
            raise ValueError(f"unknown monitors {unknown}; known are {sorted(MONITORS)}")
        return {
            name: None
            if (result := results.get(name)) is None
            else monitor.receipt.model_validate(result)
            for name, monitor in MONITORS.items()
        }


class PastDay(Frozen):
    """One day of the strip that shows the days before."""

    day: date
    colour: Colour | None
    reasons: tuple[str, ...]


class HealthPage(Frozen):
    """Everything the page of one day shows."""

    model: str
    owner: str
    as_of: datetime
    day: date
    colour: Colour
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    retrain: str
    is_replay: bool
    is_served_online: bool
    has_alerts: bool = True
    report: Report
    past: tuple[PastDay, ...] = ()  # not stored: each day has its own record


def assess_health(
    workspace: Workspace,
    *,
    as_of: datetime,
    report: Report,
    is_replay: bool,
    now: datetime,
) -> HealthReceipt:
    """
    Decide on the newest whole day at *as_of*, ask for a retrain if it is time, keep the page.

    Safe to repeat: the page of the day is replaced, and a request stays the one it was.

    :param is_replay: The run replays a past day: no alert is sent and no retrain is started.
    """
    spec, day = workspace.spec, scoring_day(as_of)
    results = {monitor.name: report.results[monitor.name] for monitor in monitors_of(spec)}
    missing = tuple(name for name, result in results.items() if result is None)
    found = [result for result in results.values() if result is not None]
    # What is not known whole is no ground to start anything.
    asking = [
        reason for one in found if one.requests_retrain and not missing for reason in one.reasons
    ]
    decision = consider_retrain(
        workspace, as_of=as_of, reasons=asking, is_replay=is_replay, now=now
    )
    colour, reasons = _colour(found, missing, decision), _reasons(found, missing, decision)
    past = _past(workspace.store, spec, day)
    page = HealthPage(
        model=spec.model,
        owner=spec.owner,
        as_of=as_of,
        day=day,
        colour=colour,
        reasons=reasons,
        missing=missing,
        retrain=decision.message,
        is_replay=is_replay,
        is_served_online=spec.service is not None,
        has_alerts=bool(spec.alerts.connections),
        report=report,
        past=(*past, PastDay(day=day, colour=colour, reasons=reasons)),
    )
    return HealthReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        colour=colour,
        reasons=reasons,
        new_reasons=tuple(_new(reasons, past)),
        missing=missing,
        retrain=decision.message,
        request=decision.request,
        page=_keep_page(workspace.store, page),
    )


def render_health(page: HealthPage) -> str:
    """Return *page* as one self-contained page without script."""
    return page_template(f"{HEALTH_PAGE}.j2").render(page=page)


def _keep_page(store: ObjectStore, page: HealthPage) -> str:
    """Replace the page of the day and what it is made of; return the key of the page."""
    folder = layout.health_folder(page.model, page.day)
    store.put(f"{folder}/{HEALTH_PAGE}", render_health(page).encode())
    store.put(f"{folder}/{HEALTH_DATA}", document_bytes(page, exclude={"past"}))
    return f"{folder}/{HEALTH_PAGE}"


def _colour(
    found: Sequence[MonitorReceipt], missing: Sequence[str], decision: RetrainDecision
) -> Colour:
    """Return the most severe colour; *missing* names the monitors without a result."""
    if decision.is_stuck:
        return "red"
    colours = [*(one.colour for one in found), *(["unknown"] if missing else [])]
    return next(colour for colour in SEVERITY_ORDER if colour in colours)


def _reasons(
    found: Sequence[MonitorReceipt], missing: Sequence[str], decision: RetrainDecision
) -> tuple[str, ...]:
    """Return every reason, those of the most severe monitors first."""
    return (
        *(f"{name}: gave no result" for name in missing),
        *(reason for one in sorted(found, key=_severity) for reason in one.reasons),
        *([f"retrain: {decision.message}"] if decision.is_stuck else []),
    )


def _severity(found: MonitorReceipt) -> int:
    return SEVERITY_ORDER.index(found.colour)


def _past(store: ObjectStore, spec: ModelSpec, day: date) -> list[PastDay]:
    return [_past_day(store, spec, day - timedelta(days=n)) for n in range(SHOWN_DAYS - 1, 0, -1)]


def _past_day(store: ObjectStore, spec: ModelSpec, day: date) -> PastDay:
    found = find_health(store, spec.model, day)
    if found is None:
        return PastDay(day=day, colour=None, reasons=())
    return PastDay(day=found.day, colour=found.colour, reasons=found.reasons)


def _new(reasons: Sequence[str], past: Sequence[PastDay]) -> list[str]:
    """Return the reasons of a kind, the word before the colon, that the day before did not have."""
    before = {reason.partition(":")[0] for reason in past[-1].reasons} if past else set()
    return [reason for reason in reasons if reason.partition(":")[0] not in before]
