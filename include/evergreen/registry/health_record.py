"""The newest health of a model, for what must not go on while it is red."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

from evergreen.data.window import scoring_day
from evergreen.receipts.monitoring import Colour, VersionQuality
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
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


def find_health(store: ObjectStore, model: str, day: date) -> DayHealth | None:
    """Return what monitor found on *day*; None if it was not assessed."""
    try:
        found = json.loads(store.get(layout.health_record(model, day)))
    except FileNotFoundError:
        return None
    kept = {name: found[name] for name in ("day", "colour", "reasons")}
    return DayHealth.model_validate_json(json.dumps(kept))


def monitored_keys(store: ObjectStore, model: str) -> list[str]:
    """Return the keys of what monitor found, one per day, oldest day first."""
    return [k for k in store.list(layout.all_of("monitoring", model)) if layout.is_health_record(k)]


def last_monitored(store: ObjectStore, model: str) -> datetime | None:
    """Return the instant of the newest day that monitor assessed; None if there is none."""
    keys = monitored_keys(store, model)
    if not keys:
        return None
    newest = max(keys, key=layout.day_of)
    return datetime.fromisoformat(json.loads(store.get(newest))["as_of"])


def monitor_results(store: ObjectStore, key: str) -> MonitorResults:
    """Return what the monitors of one day found, by the key of its health record."""
    found = json.loads(store.get(key))
    results = {name: one for name, one in found["report"]["results"].items() if one is not None}
    versions = results.get("quality", {}).get("versions", ())
    return MonitorResults(
        day=found["day"],
        colours={name: one["colour"] for name, one in results.items()},
        reasons={name: tuple(one["reasons"]) for name, one in results.items()},
        versions=tuple(VersionQuality.model_validate(one) for one in versions),
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
