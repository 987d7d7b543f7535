"""
Bring a version to its callers in stages, on what model servers saw of it.

The ledger says which stage is on; every server follows it, and keeps one object with what it
counted under ``rollouts/<model>/<number of the stage's entry>/``. So nothing is lost with the task
that deploys, and whoever asks next decides on the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from evergreen.registry import ledger
from evergreen.serving.observations import SILENT, Observation, Tally, live_servers, observations
from evergreen.spec.release import Deployment, Limits, Stage
from evergreen.storage.base import ObjectStore
from evergreen.values import Frozen


class Decision(Frozen):
    """What becomes of a version now, and on what grounds."""

    kind: Literal["wait", "advance", "back_out", "stop"]
    words: str


def next_stage(deployment: Deployment, after: Stage | None) -> Stage | None:
    """Return the stage after *after*, the first one after None, and None when all are done."""
    stages = deployment.stages
    if after is None:
        return stages[0] if stages else None
    later = stages[stages.index(after) + 1 :] if after in stages else stages
    return later[0] if later else None


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
