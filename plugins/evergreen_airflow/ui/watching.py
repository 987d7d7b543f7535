"""Which models are not watched as they should be, and which have a past but no folder."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evergreen.data.window import scoring_day
from evergreen.spec import MODELS_DIR
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore

if TYPE_CHECKING:
    from evergreen.monitoring.history import ModelHistory
    from evergreen_airflow.ui.airflow_state import DagState

#: All ledgers are listed again after this long; a listing of a bucket takes a while.
LISTED_AGAIN_AFTER_S = 300


def not_watched(history: ModelHistory, monitor: DagState, *, now: datetime) -> str | None:
    """
    Return why the newest health record says nothing of today; None if no newer one is due.

    A record is due when a scheduled monitor run has ended, or should have ended by the hours that
    the spec allows it. Closed days have none. Before the first champion nothing is monitored.
    """
    champion = history.ledger.champion
    if champion is None:
        return None
    due = _due(monitor, late_after=timedelta(hours=history.spec.alerts.late_after_hours), now=now)
    if due is None or due <= champion.serves_from:
        return None
    newest = history.newest.day if history.newest else None
    closed, wanted = history.spec.source.closed, scoring_day(due)
    while wanted in closed and (newest is None or wanted > newest):
        wanted -= timedelta(days=1)
    if newest is not None and newest >= wanted:
        return None
    since = f"since {newest}" if newest else "at all"
    return f"not watched {since}: the monitor run of {due:%Y-%m-%d %H:%M} UTC left no record"


def removed_models(
    store: ObjectStore, *, now: datetime, models_dir: Path = MODELS_DIR
) -> list[str]:
    """Return the models that have a ledger and no folder, sorted."""
    if not models_dir.is_dir():
        return []
    period = int(now.timestamp() // LISTED_AGAIN_AFTER_S)
    listed = _with_ledger(cast("Hashable", store), period)
    return sorted(name for name in listed if not (models_dir / name).exists())


def visible_removed(
    removed: Iterable[str], *, allowed: Collection[str], sees_all: bool
) -> list[str]:
    """Return those of *removed* that a person may know of who may read the DAGs *allowed*."""
    return [name for name in removed if sees_all or f"{name}__retrain" in allowed]


def _due(monitor: DagState, *, late_after: timedelta, now: datetime) -> datetime | None:
    """Return the newest instant whose scheduled run should have ended by now."""
    overdue = monitor.next_run
    is_overdue = overdue is not None and not monitor.is_paused and overdue + late_after < now
    found = [monitor.last_due, overdue if is_overdue else None]
    return max((instant for instant in found if instant is not None), default=None)


@lru_cache(maxsize=1)
def _with_ledger(store: Hashable, period: int) -> frozenset[str]:
    """Return every model that has a ledger; *period* is another number once it is to be listed."""
    keys = cast("ObjectStore", store).list(layout.all_of("ledger"))
    return frozenset(key.split("/")[1] for key in keys)
