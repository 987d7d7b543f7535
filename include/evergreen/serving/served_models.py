"""Which models one server follows: added, removed and changed as their folders are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from evergreen.serving.follower import Follower
from evergreen.spec import ModelSpec, find_specs
from evergreen.spec.loading import MODELS_DIR

log = logging.getLogger(__name__)


class ServedModels:
    """
    A follower for each model that has a spec for this server.

    A spec that is broken changes nothing: its model goes on with the spec it had.

    :param is_ours: Says whether this server serves the model of a spec.
    :param make_follower: Makes the follower of a spec; nothing is loaded yet.
    """

    def __init__(
        self,
        *,
        is_ours: Callable[[ModelSpec], bool],
        make_follower: Callable[[ModelSpec], Follower],
        clock: Callable[[], datetime],
    ) -> None:
        self.is_ours, self.make_follower, self.clock = is_ours, make_follower, clock
        self.followers: dict[str, Follower] = {}
        #: Models that were served since the start and are no more, and since when.
        self.removed: dict[str, datetime] = {}
        #: Every model that has a valid spec, served here or not.
        self.known: dict[str, ModelSpec] = {}
        self._missing: set[str] = set()
        self._refused: dict[str, tuple[ModelSpec, str | None]] = {}
        self._errors: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def update(self) -> None:
        """Follow what was added, leave what was removed, take up each changed spec."""
        specs, errors = await asyncio.to_thread(find_specs)
        for error in errors:
            if str(error) not in self._errors:
                self._errors.add(str(error))
                log.warning("%s", error)
        self.known = {spec.model: spec for spec in specs}
        ours = {spec.model: spec for spec in specs if self.is_ours(spec)}
        await self._remove_missing(ours, others={spec.model for spec in specs} - set(ours))
        changed = []
        for model, spec in ours.items():
            if model not in self.followers:
                self.followers[model] = self.make_follower(spec)
                self.removed.pop(model, None)
            elif self.followers[model].spec is not spec:
                changed.append(self._take_up(spec))
        await asyncio.gather(*changed)

    async def close(self) -> None:
        """End every version, after what waits was answered."""
        ends = [one.close() for one in self.followers.values()]
        for error in await asyncio.gather(*ends, *self._closing, return_exceptions=True):
            if isinstance(error, Exception):
                log.warning("a model was not closed in order: %r", error)

    async def _remove_missing(self, ours: dict[str, ModelSpec], *, others: set[str]) -> None:
        """
        Stop serving each model whose folder is gone or whose spec names another target.

        Only if it was so at the last look too: a folder that is replaced is gone for a moment.
        """
        absent = [model for model in self.followers if model not in ours]
        gone = await asyncio.to_thread(lambda: {model for model in absent if _is_gone(model)})
        missing = gone | (others & set(absent))
        for model in missing & self._missing:
            log.warning(
                "%s is not served any more: %s",
                model,
                "its folder is gone" if model in gone else "its spec is not for this server",
            )
            self._close_later(self.followers.pop(model))
            self.removed[model] = self.clock()
        self._missing = missing

    async def _take_up(self, spec: ModelSpec) -> None:
        """Follow by a changed *spec*, unless what serves cannot be loaded by it."""
        before = self.followers[spec.model]
        if _loads_alike(before.spec, spec):
            before.endpoint.spec, before.spec_problem = spec, None
            return
        attempt = (spec, before.champion_version)
        if self._refused.get(spec.model) == attempt:
            return
        after = self.make_follower(spec)
        await after.begin()
        if after.endpoint.traffic is None and before.endpoint.traffic is not None:
            self._refused[spec.model] = attempt
            why = after.problem or "the version that serves is not on this server's disk"
            before.spec_problem = f"the changed model.yaml is not used yet: {why}"
            return
        log.info("%s is served by its changed model.yaml", spec.model)
        self.followers[spec.model] = after
        self._refused.pop(spec.model, None)
        self._close_later(before)

    def _close_later(self, follower: Follower) -> None:
        task = asyncio.create_task(follower.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _loads_alike(one: ModelSpec, other: ModelSpec) -> bool:
    """Return whether a loaded version may stay as it is: the rest is read at each request."""
    return one.examples == other.examples and one.trusted_types == other.trusted_types


def _is_gone(model: str) -> bool:
    """Return whether the folder of *model* is gone; if all folders are, a volume is missing."""
    try:
        return MODELS_DIR.is_dir() and not (MODELS_DIR / model).exists()
    except OSError:
        return False
