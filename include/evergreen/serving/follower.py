"""
Follow the ledger of one model: load what it names, hold it against its example, then swap.

The version that serves goes on serving until another is ready. When ledger or registry cannot be
reached, nothing changes; after a restart the last good version comes from the server's own disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.registry import ledger as ledger_store
from evergreen.serving.endpoint import Endpoint, ServedVersions, StageStats
from evergreen.serving.model_cache import CachedVersion, ModelCache
from evergreen.serving.observations import Observation, is_expired, keep_observation
from evergreen.serving.served_version import ServedVersion, ServingLimits
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

RECOVERED = "recovered: following the ledger again"


class Follower:
    """
    What one model's endpoint follows.

    :param client: Makes the registry's client; called in a thread, since MLflow is slow to import.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        store: ObjectStore,
        cache: ModelCache,
        client: Callable[[], MlflowClient],
        limits: ServingLimits,
        replica: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.endpoint, self.store, self.cache, self.client = endpoint, store, cache, client
        self.limits, self.replica, self.clock = limits, replica, clock
        self.problem: str | None = None
        #: Why a changed spec is not used yet; whoever looks after the specs sets it.
        self.spec_problem: str | None = None
        self._ledger: ledger_store.Ledger | None = None
        self._kept: dict[tuple[str, str], CachedVersion] = {}
        self._loaded: dict[tuple[str, str], ServedVersion] = {}
        self._bad: dict[tuple[str, str], str] = {}
        self._stage: int | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def spec(self) -> ModelSpec:
        """The spec of the model."""
        return self.endpoint.spec

    @property
    def champion_version(self) -> str | None:
        """The version that answers, or None if none is loaded."""
        traffic = self.endpoint.traffic
        return traffic.champion.version if traffic else None

    async def begin(self) -> None:
        """
        Serve the last good version from disk, if there is one, before anybody is asked.

        Whatever fails becomes the problem of this model, and of no other.
        """
        try:
            kept = await asyncio.to_thread(self.cache.last_good, self.spec.model)
            if kept is None:
                return
            champion = await self._load(kept)
        except Exception as error:
            self.problem = f"the version that served last is not used: {error}"
            is_expected = isinstance(error, ArtifactError)
            log.warning("%s: %s", self.spec.model, self.problem, exc_info=not is_expected)
            return
        self.endpoint.traffic = ServedVersions(champion=champion)
        log.info("%s serves, from disk", champion.name)

    async def look(self) -> None:
        """Do once what the ledger asks for; a problem is remembered, and nothing changes then."""
        try:
            problem = await self._look() or self.spec_problem
        except ArtifactError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is down, the champion goes on serving
            problem = f"cannot follow the ledger: {type(error).__name__}: {error}"
        if problem != self.problem:  # once, not every two seconds
            serves = self.endpoint.traffic
            still = f"; version {serves.champion.version} goes on serving" if serves else ""
            log.warning("%s: %s%s", self.spec.model, problem or RECOVERED, still)
        self.problem = problem

    async def close(self) -> None:
        """End every version, after what waits was answered."""
        await asyncio.gather(*(one.close() for one in self._loaded.values()), *self._retiring)

    async def _look(self) -> str | None:
        """Do it; return what is strange all the same."""
        ledger = await asyncio.to_thread(self._read)
        if ledger.champion is None:
            if self.endpoint.traffic is None:
                return None
            return f"the ledger in {self.store.uri} names no champion; is it the right one?"
        champion = await self._ensure(ledger.champion)
        rollout = ledger.rollout
        if rollout and is_expired(rollout, self.spec.deployment.limits, now=self.clock()):
            rollout = None
        if rollout is None:
            self._stage = None
            await self._switch(ServedVersions(champion=champion), [ledger.champion])
        else:
            await self._join(champion, rollout, ledger.champion)
        return None

    async def _join(
        self,
        champion: ServedVersion,
        rollout: ledger_store.Rollout,
        champion_entry: ledger_store.LedgerEntry,
    ) -> None:
        """Take part in a rollout, and keep what was seen of it."""
        before = self.endpoint.traffic
        if self._stage != rollout.number:
            if before is None or before.champion is not champion:
                await self._switch(ServedVersions(champion=champion), [champion_entry])
            await self._keep(
                rollout,
                Observation(replica=self.replica, recorded_at=self.clock(), state="loading"),
            )
            challenger = await self._challenge(rollout)
            limits = self.endpoint.spec.deployment.limits
            now_on = ServedVersions(
                champion=champion,
                challenger=challenger,
                stage=rollout.stage,
                seen=StageStats(slow_ms=limits.max_p95_ms),
            )
            await self._switch(now_on, [champion_entry, rollout.entry])
            self._stage = rollout.number
            log.info("%s: %s", challenger.name, rollout.stage)
        traffic = self.endpoint.traffic
        if traffic is not None and traffic.seen is not None and traffic.challenger is not None:
            seen, lost = traffic.seen, traffic.challenger.restarts
            died = f"{traffic.challenger.name} broke its process while it answered"
            observation = Observation(
                replica=self.replica,
                recorded_at=self.clock(),
                state="failed" if lost else "ready",
                error=died if lost else seen.error,
                challenger=seen.challenger.histogram,
                champion=seen.champion.histogram,
                difference=seen.difference,
                scale=seen.scale,
                compared=seen.compared,
            )
            await self._keep(rollout, observation)

    async def _challenge(self, rollout: ledger_store.Rollout) -> ServedVersion:
        """Return the challenger, loaded; if it cannot be, say so to whoever deploys."""
        try:
            return await self._ensure(rollout.entry)
        except ArtifactError as error:
            await self._keep(
                rollout,
                Observation(
                    replica=self.replica,
                    recorded_at=self.clock(),
                    state="failed",
                    error=str(error)[:1000],
                ),
            )
            raise

    async def _keep(self, rollout: ledger_store.Rollout, seen: Observation) -> None:
        await asyncio.to_thread(keep_observation, self.store, self.spec.model, rollout.number, seen)

    async def _switch(
        self, traffic: ServedVersions, entries: list[ledger_store.LedgerEntry]
    ) -> None:
        """Let *traffic* serve from now on, remember it, and retire what is in neither."""
        before, self.endpoint.traffic = self.endpoint.traffic, traffic
        wanted = {(entry.version, entry.artifact_sha256) for entry in entries}
        if before is None or before.champion is not traffic.champion:
            log.info(
                "%s serves%s",
                traffic.champion.name,
                f", after version {before.champion.version}" if before else "",
            )
            kept = self._kept[_key_of(entries[0])]
            await asyncio.to_thread(self.cache.remember, self.spec.model, kept)
        if not set(self._loaded) <= wanted:
            for key in set(self._loaded) - wanted:
                task = asyncio.create_task(self._loaded.pop(key).close())
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
            keep = [kept for key, kept in self._kept.items() if key in wanted]
            self._kept = {(one.version, one.sha256): one for one in keep}
            await asyncio.to_thread(self.cache.forget_others, self.spec.model, keep)

    async def _ensure(self, entry: ledger_store.LedgerEntry) -> ServedVersion:
        key = _key_of(entry)
        if key in self._loaded:
            return self._loaded[key]
        if key in self._bad:  # it was tried, and its bytes have not changed
            raise ArtifactError(self._bad[key])
        kept = await asyncio.to_thread(self._fetch, entry)
        try:
            return await self._load(kept)
        except ArtifactError as error:
            self._bad[key] = str(error)
            raise

    async def _load(self, kept: CachedVersion) -> ServedVersion:
        question = self.cache.question(self.spec, kept)
        found = ServedVersion(question, version=kept.version, limits=self.limits)
        await found.start()
        self._kept[kept.version, kept.sha256] = kept
        self._loaded[kept.version, kept.sha256] = found
        return found

    def _fetch(self, entry: ledger_store.LedgerEntry) -> CachedVersion:
        return self.cache.fetch(self.client(), self.spec.model, entry)

    def _read(self) -> ledger_store.Ledger:
        """Return the ledger; it is read again only if something was written."""
        self._ledger = ledger_store.read_again(self.store, self.spec.model, self._ledger)
        return self._ledger


def _key_of(entry: ledger_store.LedgerEntry) -> tuple[str, str]:
    return entry.version, entry.artifact_sha256
