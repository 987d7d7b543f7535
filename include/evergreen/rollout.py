"""
Bring a version to its callers in stages, on what model servers saw of it.

The ledger says which stage is on; every server follows it, and keeps one object with what it
counted under ``rollouts/<model>/<number of the stage's entry>/``. So nothing is lost with the task
that deploys, and whoever asks next decides on the same numbers.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from evergreen import ledger
from evergreen.spec.policy import Deployment, Limits, Stage
from evergreen.storage import ObjectStore, canonical_json
from evergreen.values import Frozen

#: Upper bounds in which answering times are counted, in ms: 0.5 ms to 2 minutes, each 15 % wider.
BOUNDS_MS = tuple(0.5 * 1.15**n for n in range(89))
#: A server that was not heard of for this long is gone.
SILENT = timedelta(seconds=60)
QUANTILE = 0.95


class Tally(Frozen):
    """Requests one version answered in one stage, and how fast; ``buckets`` as BOUNDS_MS."""

    requests: int = 0
    failed: int = 0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS_MS) + 1)

    def plus(self, duration_ms: float, *, is_failed: bool) -> Tally:
        """Return the tally with one more request."""
        at = bisect.bisect_left(BOUNDS_MS, duration_ms)
        buckets = (*self.buckets[:at], self.buckets[at] + 1, *self.buckets[at + 1 :])
        return Tally(requests=self.requests + 1, failed=self.failed + is_failed, buckets=buckets)

    @property
    def p95_ms(self) -> float:
        """The 95 % quantile, to the width of a bucket; 0 without requests."""
        wanted, seen = QUANTILE * self.requests, 0
        for bound, count in zip((*BOUNDS_MS, BOUNDS_MS[-1]), self.buckets, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return 0.0


class Observation(Frozen):
    """
    What one server saw of one stage so far.

    ``difference`` is summed over ``compared`` rows that both versions predicted, ``scale`` what it
    is a share of.
    """

    replica: str
    recorded_at: datetime
    state: Literal["loading", "ready", "failed"]
    fault: str | None = None
    challenger: Tally = Tally()
    champion: Tally = Tally()
    difference: float = 0.0
    scale: float = 0.0
    compared: int = 0


class Heartbeat(Frozen):
    """One running server, and the version of each model it answers with."""

    replica: str
    recorded_at: datetime
    url: str
    models: dict[str, str]


class Decision(Frozen):
    """What becomes of a version now, and on what grounds."""

    kind: Literal["wait", "advance", "back_out", "stop"]
    words: str


def keep_observation(store: ObjectStore, model: str, number: int, seen: Observation) -> None:
    """Replace what one server saw of the stage *number*."""
    key = f"rollouts/{model}/{number:08d}/{seen.replica}.json"
    store.put(key, canonical_json(seen.model_dump(mode="json")))


def observations(store: ObjectStore, model: str, number: int) -> list[Observation]:
    """Return what every server saw of the stage *number*."""
    keys = store.list(f"rollouts/{model}/{number:08d}/")
    return [Observation.model_validate_json(store.get(key)) for key in keys]


def live_servers(store: ObjectStore, *, now: datetime) -> list[Heartbeat]:
    """Return every model server that was heard of lately."""
    found = []
    for key in store.list("servers/"):
        try:
            beat = Heartbeat.model_validate_json(store.get(key))
        except FileNotFoundError:
            continue  # it stopped since
        if now - beat.recorded_at < SILENT:
            found.append(beat)
    return found


def next_stage(deployment: Deployment, after: Stage | None) -> Stage | None:
    """Return the stage after *after*, the first one after None, and None when all are done."""
    stages = deployment.stages
    if after is None:
        return stages[0] if stages else None
    later = stages[stages.index(after) + 1 :] if after in stages else stages
    return later[0] if later else None


def is_expired(rollout: ledger.Rollout, limits: Limits, *, now: datetime) -> bool:
    """Return whether a stage is so old that whoever began it is gone: nobody watches it."""
    longest = timedelta(minutes=rollout.stage.minutes, hours=limits.wait_hours + 1)
    return now - rollout.entry.recorded_at > longest


def decide(
    store: ObjectStore, rollout: ledger.Rollout, limits: Limits, *, now: datetime
) -> Decision:
    """Say whether the stage goes on, is passed, has failed, or can prove nothing."""
    seen = observations(store, rollout.entry.model, rollout.number)
    if failed := next((one for one in seen if one.state == "failed"), None):
        return Decision(kind="back_out", words=f"server {failed.replica}: {failed.fault}")
    servers = {beat.replica for beat in live_servers(store, now=now)}
    age = now - rollout.entry.recorded_at
    if not servers and age > SILENT:
        return Decision(
            kind="stop",
            words=f"no model server was heard of for {SILENT.seconds} s, so nothing was tried. "
            "Start one (make up does), then clear this task",
        )
    ready = {one.replica for one in seen if one.state == "ready"}
    if not servers or servers - ready:
        if age > timedelta(hours=limits.wait_hours):
            late = ", ".join(sorted(servers - ready)) or "any server"
            return Decision(kind="stop", words=f"{late} did not load it in {limits.wait_hours:g} h")
        return Decision(kind="wait", words=f"{len(ready)} of {len(servers)} servers have loaded it")
    if rollout.stage.kind == "load":
        return Decision(kind="advance", words=f"{len(ready)} servers loaded and probed it")
    return _judge(seen, rollout.stage, limits, age=age)


def summary(seen: Iterable[Observation]) -> str:
    """Say in one line what all servers together saw of a stage."""
    challenger, champion, disagreement = _together(list(seen))
    return (
        f"{challenger.requests} requests, {challenger.failed} failed, p95 "
        f"{challenger.p95_ms:.1f} ms (champion {champion.p95_ms:.1f}), disagreement "
        f"{disagreement:.3f}"
    )


def _judge(
    seen: Sequence[Observation], stage: Stage, limits: Limits, *, age: timedelta
) -> Decision:
    challenger, _, disagreement = _together(seen)
    words = summary(seen)
    is_enough = challenger.requests >= limits.min_requests
    # Failures that break the limit whatever the rest of the stage brings need no waiting for.
    if challenger.failed > limits.max_error_rate * max(challenger.requests, limits.min_requests):
        allowed = f"{limits.max_error_rate:.1%} may fail"
        fault = next((one.fault for one in seen if one.fault), None)
        return Decision(
            kind="back_out",
            words="; ".join(filter(None, [words, allowed, f"last: {fault}" if fault else None])),
        )
    if is_enough and challenger.p95_ms > limits.max_p95_ms:
        return Decision(kind="back_out", words=f"{words}; p95 may be {limits.max_p95_ms:g} ms")
    if is_enough and disagreement > limits.max_disagreement:
        return Decision(
            kind="back_out", words=f"{words}; they may differ by {limits.max_disagreement:g}"
        )
    if age < timedelta(minutes=stage.minutes):
        return Decision(kind="wait", words=words)
    if is_enough:
        return Decision(kind="advance", words=words)
    if age > timedelta(minutes=stage.minutes, hours=limits.wait_hours):
        return Decision(
            kind="stop",
            words=f"{words}; {limits.min_requests} requests are needed to judge and did not come "
            f"within {limits.wait_hours:g} h. Lower limits.min_requests, or wait for traffic",
        )
    return Decision(kind="wait", words=f"{words}; {limits.min_requests} requests are needed")


def _together(seen: Sequence[Observation]) -> tuple[Tally, Tally, float]:
    """Add up what all servers saw: both tallies, and the mean disagreement."""
    scale = sum(one.scale for one in seen)
    disagreement = sum(one.difference for one in seen) / scale if scale > 0 else 0.0
    return (
        _sum(one.challenger for one in seen),
        _sum(one.champion for one in seen),
        disagreement,
    )


def _sum(tallies: Iterable[Tally]) -> Tally:
    found = list(tallies)
    return Tally(
        requests=sum(t.requests for t in found),
        failed=sum(t.failed for t in found),
        buckets=tuple(map(sum, zip(*(t.buckets for t in found), strict=True))) or Tally().buckets,
    )
