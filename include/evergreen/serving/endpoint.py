"""
Who answers a request: the champion, or the version on its way to the callers.

Whatever a challenger does, the caller gets an answer: where it fails, the champion's counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.serving.inputs import RequestRows
from evergreen.serving.observations import LatencyCounter
from evergreen.serving.served_version import OverloadedError, PredictionError, ServedVersion
from evergreen.spec import ModelSpec
from evergreen.spec.release import RolloutStage

if TYPE_CHECKING:
    from evergreen.modeling.metrics import Predictions

log = logging.getLogger(__name__)

#: A challenger that is this many times slower than it may be is not waited for any longer.
PATIENCE = 2.0
#: Comparisons under way; more are left out rather than let live requests wait behind them.
MAX_COMPARISONS = 64


class NotServingError(Exception):
    """No version of the model is loaded yet."""


@dataclass(frozen=True, kw_only=True)
class PredictionResult:
    """The prediction of each row and the version that made it; ``classes`` if the model has any."""

    scores: Predictions
    versions: list[str]
    classes: tuple[str, ...]


class StageStats:
    """What one stage showed so far on this server; only the event loop's thread touches it."""

    def __init__(self, *, slow_ms: float) -> None:
        """:param slow_ms: Beyond which a request is counted as slow."""
        self.challenger = LatencyCounter(slow_ms=slow_ms)
        self.champion = LatencyCounter(slow_ms=slow_ms)
        self.difference = self.scale = 0.0
        self.compared = 0
        self.error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServedVersions:
    """Who serves at one moment; a request keeps the one it began with."""

    champion: ServedVersion
    challenger: ServedVersion | None = None
    stage: RolloutStage | None = None
    seen: StageStats | None = None


class Endpoint:
    """One model's callers on this server."""

    def __init__(self, spec: ModelSpec, *, timeout_s: float) -> None:
        self.spec, self.timeout_s = spec, timeout_s
        self.traffic: ServedVersions | None = None
        self.fallbacks = self.comparisons_left_out = 0
        self._background: set[asyncio.Task[None]] = set()

    @property
    def champion(self) -> ServedVersion:
        """
        The version that answers.

        :raises NotServingError: If there is none yet.
        """
        if self.traffic is None:
            raise NotServingError(
                f"no version of {self.spec.model} is loaded yet: either none was promoted, or it "
                "is being loaded; ask again in a few seconds"
            )
        return self.traffic.champion

    async def answer(self, rows: RequestRows) -> PredictionResult:
        """
        Predict *rows*.

        :raises NotServingError: If no version is loaded yet.
        :raises OverloadedError: If the champion has too much to do.
        :raises PredictionError: If the champion fails.
        """
        champion, traffic = self.champion, self.traffic
        stage = traffic.stage if traffic else None
        if traffic is None or stage is None or traffic.challenger is None or traffic.seen is None:
            return await self._by(champion, rows)
        if stage.kind == "shadow":
            return await self._in_shadow(traffic, traffic.challenger, traffic.seen, rows)
        chosen = self._chosen(rows, share=stage.share, version=traffic.challenger.version)
        if not any(chosen):
            return await self._predict_champion_counted(traffic.seen, champion, rows)
        if all(chosen):
            return await self._in_canary(traffic, traffic.challenger, traffic.seen, rows)
        return await self._split_by_entity(traffic, traffic.challenger, traffic.seen, rows, chosen)

    def _chosen(self, rows: RequestRows, *, share: float, version: str) -> list[bool]:
        """Say for each row whether its entity is among *share*; a larger share only adds some."""
        salt = f"{self.spec.model}\x1f{version}\x1f"
        return [
            int.from_bytes(hashlib.sha256(f"{salt}{entity}".encode()).digest()[:8]) < share * 2**64
            for entity in rows.entities
        ]

    async def _by(self, version: ServedVersion, rows: RequestRows) -> PredictionResult:
        scores = await version.predict(rows.inputs, rows.count, within_s=self.timeout_s)
        return PredictionResult(
            scores=scores, versions=[version.version] * rows.count, classes=version.classes
        )

    async def _predict_champion_counted(
        self, seen: StageStats, champion: ServedVersion, rows: RequestRows
    ) -> PredictionResult:
        started, is_failed = time.perf_counter(), True
        try:
            answer = await self._by(champion, rows)
            is_failed = False
            return answer
        finally:
            seen.champion.add(_ms_since(started), is_failed=is_failed)

    async def _in_shadow(
        self,
        traffic: ServedVersions,
        challenger: ServedVersion,
        seen: StageStats,
        rows: RequestRows,
    ) -> PredictionResult:
        unseen = self._begin(lambda: self._predict_challenger(challenger, seen, rows))
        answer = await self._predict_champion_counted(seen, traffic.champion, rows)
        self._compare_later(unseen, seen, answer, challenger)
        return answer

    async def _in_canary(
        self,
        traffic: ServedVersions,
        challenger: ServedVersion,
        seen: StageStats,
        rows: RequestRows,
    ) -> PredictionResult:
        """Answer with the challenger's words; with the champion's, asked at once, if it fails."""
        safe = asyncio.ensure_future(self._predict_champion_counted(seen, traffic.champion, rows))
        scores = await self._predict_challenger(challenger, seen, rows)
        if scores is None:
            self.fallbacks += 1
            return await safe
        answer = PredictionResult(
            scores=scores, versions=[challenger.version] * rows.count, classes=challenger.classes
        )

        async def later() -> None:
            try:
                _compare(
                    seen, champion=await safe, scores=scores, challenger=challenger, spec=self.spec
                )
            except (OverloadedError, PredictionError) as error:
                log.warning("no comparison: %s", error)

        self._keep(later())
        return answer

    async def _split_by_entity(
        self,
        traffic: ServedVersions,
        challenger: ServedVersion,
        seen: StageStats,
        rows: RequestRows,
        chosen: list[bool],
    ) -> PredictionResult:
        import numpy as np

        places = {flag: [n for n, c in enumerate(chosen) if c is flag] for flag in (True, False)}
        new, old = await asyncio.gather(
            self._in_canary(traffic, challenger, seen, rows.take(places[True])),
            self._predict_champion_counted(seen, traffic.champion, rows.take(places[False])),
        )
        order = np.argsort([*places[True], *places[False]])
        both = [*new.versions, *old.versions]
        return PredictionResult(
            scores=np.concatenate([new.scores, old.scores])[order],
            versions=[both[n] for n in order],
            classes=old.classes,
        )

    async def _predict_challenger(
        self, challenger: ServedVersion, seen: StageStats, rows: RequestRows
    ) -> Predictions | None:
        """Return what the challenger says, or None if it fails, is slow, or says another shape."""
        started, scores, failure = time.perf_counter(), None, None
        patience_s = min(PATIENCE * self.spec.deployment.limits.max_p95_ms / 1000, self.timeout_s)
        try:
            scores = await challenger.predict(rows.inputs, rows.count, within_s=patience_s)
        except (PredictionError, OverloadedError) as error:
            failure = str(error)
        if scores is not None and challenger.classes != self.champion.classes:
            scores, failure = (
                None,
                (
                    f"{challenger.name} knows the classes {', '.join(challenger.classes)}, the "
                    f"champion {', '.join(self.champion.classes)}"
                ),
            )
        seen.challenger.add(_ms_since(started), is_failed=scores is None)
        seen.error = failure or seen.error
        return scores

    def _begin(
        self, call: Callable[[], Coroutine[Any, Any, Predictions | None]]
    ) -> asyncio.Task[Predictions | None] | None:
        if len(self._background) >= MAX_COMPARISONS:
            self.comparisons_left_out += 1
            return None
        return asyncio.create_task(call())

    def _compare_later(
        self,
        unseen: asyncio.Task[Predictions | None] | None,
        seen: StageStats,
        answer: PredictionResult,
        challenger: ServedVersion,
    ) -> None:
        if unseen is None:
            return

        async def later() -> None:
            scores = await unseen
            if scores is not None:
                _compare(
                    seen, champion=answer, scores=scores, challenger=challenger, spec=self.spec
                )

        self._keep(later())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _compare(
    seen: StageStats,
    *,
    champion: PredictionResult,
    scores: Predictions,
    challenger: ServedVersion,
    spec: ModelSpec,
) -> None:
    """
    Add how far apart both are on the same rows.

    Classes: total variation distance, which for two is the difference of the probability. Numbers:
    the difference, of which the champion's size is the scale.
    """
    import numpy as np

    apart = np.abs(scores - champion.scores)
    if spec.examples.problem == "regression":
        seen.scale += float(np.abs(champion.scores).sum())
    else:
        seen.scale += len(apart)
        apart = apart if apart.ndim == 1 else apart.sum(axis=1) / 2
    seen.difference += float(apart.sum())
    seen.compared += len(apart)


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)
