"""What model servers write about the versions they serve, and how it is read."""

from __future__ import annotations

import bisect
import logging
import math
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from evergreen.errors import ArtifactError
from evergreen.registry import ledger as ledger_store
from evergreen.spec.release import RolloutLimits
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document
from evergreen.values import Frozen

log = logging.getLogger(__name__)

#: Upper bounds in which answering times are counted, in ms: 0.5 ms to 2 minutes, each 15 % wider.
BOUNDS_MS = tuple(0.5 * 1.15**n for n in range(89))
#: A server without a heartbeat for this long is gone.
SILENT = timedelta(seconds=60)
QUANTILE = 0.95


class LatencyHistogram(Frozen):
    """
    Requests one version answered in one stage, and how fast; ``buckets`` as BOUNDS_MS.

    ``slow`` took longer than ``limits.max_p95_ms``.
    """

    requests: int = 0
    failed: int = 0
    slow: int = 0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)

    @property
    def p95_ms(self) -> float:
        """The 95 % quantile, interpolated within its bucket; 0 without requests."""
        wanted, seen, below = QUANTILE * self.requests, 0, 0.0
        for bound, count in zip((*BOUNDS_MS, BOUNDS_MS[-1]), self.buckets, strict=True):
            if count and seen + count >= wanted:
                return below + (bound - below) * (wanted - seen) / count
            seen, below = seen + count, bound
        return 0.0


class LatencyCounter:
    """
    Count requests into the buckets of a :class:`LatencyHistogram`; not safe for threads.

    It runs for every request: an own list takes a sixth of the time of ``prometheus_client``'s
    ``Histogram``, which searches 89 bounds one by one and holds a lock for each count.
    """

    def __init__(self, *, slow_ms: float = math.inf) -> None:
        """:param slow_ms: Beyond which a request is counted as slow."""
        self.requests = self.failed = self.slow = 0
        self.slow_ms = slow_ms
        self._buckets = [0] * (len(BOUNDS_MS) + 1)

    def add(self, duration_ms: float, *, is_failed: bool) -> None:
        """Count one more request."""
        self.requests += 1
        self.failed += is_failed
        self.slow += duration_ms > self.slow_ms
        self._buckets[bisect.bisect_left(BOUNDS_MS, duration_ms)] += 1

    @property
    def histogram(self) -> LatencyHistogram:
        """What was counted so far."""
        return LatencyHistogram(
            requests=self.requests,
            failed=self.failed,
            slow=self.slow,
            buckets=tuple(self._buckets),
        )


class Observation(Frozen):
    """
    What one server saw of one stage so far.

    ``difference`` is summed over ``compared`` rows that both versions predicted, ``scale`` what it
    is a share of.
    """

    replica: str
    recorded_at: datetime
    state: Literal["loading", "ready", "failed"]
    error: str | None = None
    challenger: LatencyHistogram = LatencyHistogram()
    champion: LatencyHistogram = LatencyHistogram()
    difference: float = 0.0
    scale: float = 0.0
    compared: int = 0


class Heartbeat(Frozen):
    """One running server, and the version of each model it answers with."""

    replica: str
    recorded_at: AwareDatetime
    url: str
    models: dict[str, str]


def keep_observation(store: ObjectStore, model: str, number: int, seen: Observation) -> None:
    """Replace what one server saw of the stage *number*."""
    key = layout.stage_observation(model, number, seen.replica)
    put_document(store, key, seen)


def observations(store: ObjectStore, model: str, number: int) -> list[Observation]:
    """Return what every server saw of the stage *number*."""
    keys = store.list(layout.stage_observation(model, number))
    return [load_document(store, key, Observation) for key in keys]


def live_servers(store: ObjectStore, *, now: datetime) -> list[Heartbeat]:
    """Return every model server with a recent heartbeat; a damaged one is left out."""
    found = []
    for key in store.list(layout.heartbeat()):
        try:
            beat = load_document(store, key, Heartbeat)
        except FileNotFoundError:
            continue  # it stopped since
        except ArtifactError as error:
            log.warning("a heartbeat is left out: %s", error)  # check-state names it too
            continue
        if now - beat.recorded_at < SILENT:
            found.append(beat)
    return found


def is_expired(rollout: ledger_store.Rollout, limits: RolloutLimits, *, now: datetime) -> bool:
    """Return whether a stage is so old that the task which began it must be gone."""
    longest = timedelta(minutes=rollout.stage.minutes, hours=limits.wait_hours + 1)
    return now - rollout.entry.recorded_at > longest
