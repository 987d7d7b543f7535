"""When each model was last monitored; a server can be asked at any time, a task cannot."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from evergreen.registry.health_record import last_monitored
from evergreen.serving.served_models import ServedModels
from evergreen.storage.base import ObjectStore

log = logging.getLogger(__name__)


class WatchedModels:
    """The newest monitored instant of each model that has a spec; None if it never was."""

    def __init__(self, store: ObjectStore, models: ServedModels) -> None:
        self.store, self.models = store, models
        self.instants: dict[str, datetime | None] = {}

    async def look(self) -> None:
        """Read the newest record of each model; one that cannot be read keeps what was known."""
        known = self.models.known
        for model in known:
            try:
                self.instants[model] = await asyncio.to_thread(last_monitored, self.store, model)
            except Exception as error:  # noqa: BLE001 - one damaged record must not hide the others
                log.warning("the newest health record of %s cannot be read: %r", model, error)
        for model in set(self.instants) - set(known):
            del self.instants[model]
