"""The newest health of a model, for what must not go on while it is red."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Self

from pydantic import ConfigDict, model_validator

from evergreen.data.window import scoring_day
from evergreen.receipts.common import contradiction
from evergreen.receipts.monitoring import SEVERITY_ORDER, Colour, VersionQuality
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import find_document, load_document
from evergreen.values import Frozen

#: An older record says nothing of today.
MAX_AGE_DAYS = 3


class DayHealth(Frozen):
    """The colour of one day, and why."""

    day: date
    colour: Colour
    reasons: tuple[str, ...]


class MonitorResults(Frozen):
    """
    What the monitors of one day found, by name; those without a result are left out.

    ``versions``: what each version that scored lately promised and kept.
    """

    day: date
    colours: dict[str, Colour]
    reasons: dict[str, tuple[str, ...]]
    versions: tuple[VersionQuality, ...]


class _Result(Frozen):
    model_config = ConfigDict(extra="ignore")

    colour: Colour
    reasons: tuple[str, ...]
    versions: tuple[VersionQuality, ...] = ()


class _Report(Frozen):
    model_config = ConfigDict(extra="ignore")

    results: dict[str, _Result | None]

    @property
    def found(self) -> dict[str, _Result]:
        return {name: one for name, one in self.results.items() if one is not None}


class _Instant(Frozen):
    """The part of a stored health page that says when it was made."""

    model_config = ConfigDict(extra="ignore")

    as_of: datetime


class _HealthRecord(Frozen):
    """
    The part of a stored health page that decides: a monitor may add fields of its own.

    The colour of a day is never milder than that of one of its monitors.
    """

    model_config = ConfigDict(extra="ignore")

    day: date
    colour: Colour
    reasons: tuple[str, ...]
    report: _Report = _Report(results={})

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        colours = [self.colour, *(one.colour for one in self.report.found.values())]
        worst = min(colours, key=SEVERITY_ORDER.index)
        if worst != self.colour:
            raise contradiction("colour", self.colour, worst, "monitors")
        return self


def find_health(store: ObjectStore, model: str, day: date) -> DayHealth | None:
    """
    Return what monitor found on *day*; None if it was not assessed.

    :raises ArtifactError: If the record is damaged, or contradicts itself.
    """
    found = find_document(store, layout.health_record(model, day), _HealthRecord)
    if found is None:
        return None
    return DayHealth(day=found.day, colour=found.colour, reasons=found.reasons)


def monitored_keys(store: ObjectStore, model: str) -> list[str]:
    """Return the keys of what monitor found, one per day, oldest day first."""
    return [k for k in store.list(layout.all_of("monitoring", model)) if layout.is_health_record(k)]


def last_monitored(store: ObjectStore, model: str) -> datetime | None:
    """Return the instant of the newest day that monitor assessed; None if there is none."""
    keys = monitored_keys(store, model)
    if not keys:
        return None
    newest = max(keys, key=layout.day_of)
    return load_document(store, newest, _Instant).as_of


def monitor_results(store: ObjectStore, key: str) -> MonitorResults:
    """
    Return what the monitors of one day found, by the key of its health record.

    :raises ArtifactError: If the record is damaged, or contradicts itself.
    """
    record = load_document(store, key, _HealthRecord)
    found = record.report.found
    quality = found.get("quality")
    return MonitorResults(
        day=record.day,
        colours={name: one.colour for name, one in found.items()},
        reasons={name: one.reasons for name, one in found.items()},
        versions=quality.versions if quality else (),
    )


def red_day(store: ObjectStore, model: str, *, as_of: datetime) -> DayHealth | None:
    """
    Return the newest assessed day of *model* at *as_of* if it is red, else None.

    Only the three days before *as_of* are looked at: without a record none is red.
    """
    newest = scoring_day(as_of)
    for back in range(MAX_AGE_DAYS):
        found = find_health(store, model, newest - timedelta(days=back))
        if found is not None:
            return found if found.colour == "red" else None
    return None


def why_held(found: DayHealth, *, setting: str) -> str:
    """Return the reason that a red day holds what *setting* of the spec governs."""
    first = found.reasons[0] if found.reasons else "no reason is recorded"
    more = f" and {len(found.reasons) - 1} more" if len(found.reasons) > 1 else ""
    return f"it is held: {found.day} is red ({first}{more}) and {setting} is hold"
