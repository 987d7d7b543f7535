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

from evergreen.registry import ledger as ledger_store
from evergreen.serving.observations import (
    SILENT,
    LatencyHistogram,
    Observation,
    live_servers,
    observations,
)
from evergreen.spec.release import Deployment, RolloutLimits, RolloutStage
from evergreen.storage.base import ObjectStore
from evergreen.values import Frozen


class RolloutDecision(Frozen):
    """What becomes of a version now, and on what grounds."""

    kind: Literal["wait", "advance", "back_out", "stop"]
    message: str


def next_stage(deployment: Deployment, after: RolloutStage | None) -> RolloutStage | None:
    """Return the stage after *after*, the first one after None, and None when all are done."""
    stages = deployment.stages
    if after is None:
        return stages[0] if stages else None
    later = stages[stages.index(after) + 1 :] if after in stages else stages
    return later[0] if later else None


def decide(
    store: ObjectStore, rollout: ledger_store.Rollout, limits: RolloutLimits, *, now: datetime
) -> RolloutDecision:
    """Say whether the stage goes on, is passed, has failed, or can prove nothing."""
    seen = observations(store, rollout.entry.model, rollout.number)
    if failed := next((one for one in seen if one.state == "failed"), None):
        return RolloutDecision(kind="back_out", message=f"server {failed.replica}: {failed.error}")
    servers = {beat.replica for beat in live_servers(store, now=now)}
    age = now - rollout.entry.recorded_at
    if not servers and age > SILENT:
        return RolloutDecision(
            kind="stop",
            message=f"no model server wrote a heartbeat for {SILENT.seconds} s, so nothing was "
            "tried. Start one (make up does), then clear this task",
        )
    ready = {one.replica for one in seen if one.state == "ready"}
    if not servers or servers - ready:
        if age > timedelta(hours=limits.wait_hours):
            late = ", ".join(sorted(servers - ready)) or "any server"
            return RolloutDecision(
                kind="stop", message=f"{late} did not load it in {limits.wait_hours:g} h"
            )
        return RolloutDecision(
            kind="wait", message=f"{len(ready)} of {len(servers)} servers have loaded it"
        )
    if rollout.stage.kind == "load":
        return RolloutDecision(kind="advance", message=f"{len(ready)} servers loaded and probed it")
    return _decide_on(seen, rollout.stage, limits, age=age)


def summary(seen: Iterable[Observation]) -> str:
    """Say in one line what all servers together saw of a stage."""
    challenger, champion, disagreement = _together(list(seen))
    return (
        f"{challenger.requests} requests, {challenger.failed} failed, p95 "
        f"{challenger.p95_ms:.1f} ms (champion {champion.p95_ms:.1f}), disagreement "
        f"{disagreement:.3f}"
    )


def _decide_on(
    seen: Sequence[Observation], stage: RolloutStage, limits: RolloutLimits, *, age: timedelta
) -> RolloutDecision:
    from evergreen.release.stage_limits import requests_needed, rules_of  # heavy: scipy

    challenger, champion, disagreement = _together(seen)
    message, needed = summary(seen), requests_needed(limits)
    rules = rules_of(challenger, champion, limits)
    is_over = age >= timedelta(minutes=stage.minutes)
    is_enough = challenger.requests >= needed
    if broken := next((rule for rule in rules if rule.is_broken), None):
        error = next((one.error for one in seen if one.error), None)
        parts = [message, broken.text, f"last: {error}" if error else None]
        return RolloutDecision(kind="back_out", message="; ".join(filter(None, parts)))
    # Far apart they need not be compared to the end.
    most = limits.max_disagreement * (1 if is_over else 2)
    if is_enough and disagreement > most:
        return RolloutDecision(
            kind="back_out", message=f"{message}; they may differ by {limits.max_disagreement:g}"
        )
    if not is_over:
        return RolloutDecision(kind="wait", message=message)
    open_rules = [rule.text for rule in rules if not rule.is_kept]
    if is_enough and not open_rules:
        return RolloutDecision(kind="advance", message=message)
    lacking = (
        f"{needed} requests are needed to decide"
        if not is_enough
        else f"more requests are needed to decide whether {' and '.join(open_rules)} holds"
    )
    if age > timedelta(minutes=stage.minutes, hours=limits.wait_hours):
        return RolloutDecision(
            kind="stop",
            message=f"{message}; {lacking} and did not arrive within {limits.wait_hours:g} h. "
            "Wait for more requests, or raise the limits",
        )
    return RolloutDecision(kind="wait", message=f"{message}; {lacking}")


def _together(seen: Sequence[Observation]) -> tuple[LatencyHistogram, LatencyHistogram, float]:
    """Add up what all servers saw: both tallies, and the mean disagreement."""
    scale = sum(one.scale for one in seen)
    disagreement = sum(one.difference for one in seen) / scale if scale > 0 else 0.0
    return (
        _sum(one.challenger for one in seen),
        _sum(one.champion for one in seen),
        disagreement,
    )


def _sum(tallies: Iterable[LatencyHistogram]) -> LatencyHistogram:
    found = list(tallies)
    return LatencyHistogram(
        requests=sum(t.requests for t in found),
        failed=sum(t.failed for t in found),
        slow=sum(t.slow for t in found),
        buckets=tuple(map(sum, zip(*(t.buckets for t in found), strict=True)))
        or LatencyHistogram().buckets,
    )
