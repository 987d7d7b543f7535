"""One server's parts put together, and what they do in the background."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from evergreen.serving.endpoint import Endpoint
from evergreen.serving.follower import Follower
from evergreen.serving.metrics import ServerMetrics
from evergreen.serving.model_cache import ModelCache
from evergreen.serving.observations import Heartbeat
from evergreen.serving.request_log import RequestLog
from evergreen.serving.served_models import ServedModels
from evergreen.serving.served_version import ServingLimits
from evergreen.serving.settings import ServerSettings
from evergreen.serving.watched_models import WatchedModels
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.opening import open_store
from evergreen.storage.records import document_bytes

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

#: Seconds between two looks at when each model was last monitored, which is once a day.
WATCHED_EVERY_S = 60


def _now() -> datetime:
    return datetime.now(UTC)


class ModelServer:
    """
    All models of one server.

    :param clock: Gives the present instant, in UTC.
    """

    def __init__(self, settings: ServerSettings, *, clock: Callable[[], datetime] = _now) -> None:
        self.settings, self.clock = settings, clock
        self.store = open_store(settings.store)
        self.cache = ModelCache(settings.cache)
        self.log = RequestLog(
            self.store,
            replica=settings.replica,
            share=settings.log_share,
            max_rows=settings.log_rows,
            clock=clock,
            rng=random.Random(),  # noqa: S311 - it draws a sample
        )
        self.models = ServedModels(is_ours=self._is_ours, make_follower=self._follower, clock=clock)
        self.followers = self.models.followers
        self.watched = WatchedModels(self.store, self.models)
        self.metrics = ServerMetrics(self.models, self.watched, self.log)
        self.is_draining = False
        self.has_looked = False
        self._tasks: list[asyncio.Task[None]] = []

    @cached_property
    def client(self) -> MlflowClient:
        """Return the registry's client, built in the thread that first asks."""
        from mlflow import MlflowClient  # heavy: seconds, and a server from disk needs none

        return MlflowClient(tracking_uri=self.settings.mlflow, registry_uri=self.settings.mlflow)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered: the ledgers were read, and what was found is loaded."""
        served = [one.endpoint.traffic is not None for one in self.followers.values()]
        return not self.is_draining and any(served) and (self.has_looked or all(served))

    async def start(self) -> None:
        """Serve from disk what can be, then follow the ledgers until :meth:`stop`."""
        await self.models.update()
        await asyncio.gather(*(one.begin() for one in self.followers.values()))
        await self._beat()
        self._tasks = [
            asyncio.create_task(self._repeat(self._look, self.settings.poll_s)),
            asyncio.create_task(self._repeat(self.log.flush, self.settings.flush_s)),
            asyncio.create_task(self._repeat(self.watched.look, WATCHED_EVERY_S)),
        ]

    async def stop(self) -> None:
        """Answer what waits, write the log, delete the heartbeat."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.models.close()
        await self.log.flush()
        try:
            await asyncio.to_thread(self.store.delete, self._beat_key)
        except OSError as error:
            log.warning("could not delete this server's heartbeat: %s", error)

    async def _look(self) -> None:
        await self.models.update()
        await asyncio.gather(*(one.look() for one in self.followers.values()))
        self.has_looked = True
        await self._beat()

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("background task failed; it runs again in %s s", seconds)
            await asyncio.sleep(seconds)

    def _is_ours(self, spec: ModelSpec) -> bool:
        asked = self.settings.models
        return spec.model in asked if asked else spec.deployment.target == "server"

    def _follower(self, spec: ModelSpec) -> Follower:
        chosen = self.settings
        return Follower(
            Endpoint(spec, timeout_s=chosen.timeout_s),
            store=self.store,
            cache=self.cache,
            client=lambda: self.client,
            limits=ServingLimits(
                workers=chosen.workers,
                max_batch_rows=chosen.max_batch_rows,
                max_queued_rows=chosen.max_queued_rows,
                timeout_s=chosen.timeout_s,
            ),
            replica=chosen.replica,
            clock=self.clock,
        )

    @property
    def _beat_key(self) -> str:
        return layout.heartbeat(self.settings.replica)

    async def _beat(self) -> None:
        """Tell whoever deploys that this server is there, and what it answers with."""
        chosen = self.settings
        beat = Heartbeat(
            replica=chosen.replica,
            recorded_at=self.clock(),
            url=f"http://{chosen.host}:{chosen.port}",
            models={
                model: one.endpoint.traffic.champion.version
                for model, one in self.followers.items()
                if one.endpoint.traffic is not None
            },
        )
        data = document_bytes(beat)
        try:
            await asyncio.to_thread(self.store.put, self._beat_key, data)
        except OSError as error:
            log.warning("the object store is not there: %s", error)
