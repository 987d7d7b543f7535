"""When each model was last monitored; a server can be asked at any time, a task cannot."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from evergreen.data.window import scoring_day
from evergreen.registry.health_record import last_monitored
from evergreen.serving.served_models import ServedModels
from evergreen.spec import ModelSpec
from evergreen.spec.checks import hours_between
from evergreen.storage.base import ObjectStore

log = logging.getLogger(__name__)

#: So many closed days in a row are looked at; a shop that is closed for longer is not watched.
MOST_CLOSED_DAYS = 60


class WatchedModels:
    """
    The instant up to which each model that has a spec is watched; None if it never was.

    That of the newest monitored day, later by the closed days after it and by as much as the
    schedule of monitor leaves more than a day between two runs.
    """

    def __init__(self, store: ObjectStore, models: ServedModels) -> None:
        self.store, self.models = store, models
        self.instants: dict[str, datetime | None] = {}

    async def look(self) -> None:
        """Read the newest record of each model; one that cannot be read keeps what was known."""
        known = self.models.known
        for model, spec in known.items():
            try:
                newest = await asyncio.to_thread(last_monitored, self.store, model)
                self.instants[model] = watched_until(spec, newest) if newest else None
            except Exception as error:  # noqa: BLE001 - one damaged record must not hide the others
                log.warning("the newest health record of %s cannot be read: %r", model, error)
        for model in set(self.instants) - set(known):
            del self.instants[model]


def watched_until(spec: ModelSpec, monitored: datetime) -> datetime:
    """Return the instant a day before the next monitor run is due after that of *monitored*."""
    hours = hours_between(spec.schedule_of("monitor"))[1] - 24
    day, closed = scoring_day(monitored) + timedelta(days=1), 0
    while day in spec.source.closed and closed < MOST_CLOSED_DAYS:
        day, closed = day + timedelta(days=1), closed + 1
    return monitored + timedelta(days=closed, hours=hours)
