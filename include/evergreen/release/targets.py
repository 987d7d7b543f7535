"""
Where a version must prove itself before it is champion: one small interface for every target.

Each is asked again and again until it has an answer, and remembers nothing itself: a deploy that
was killed goes on from what the ledger, or SageMaker, knows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evergreen.errors import RolloutError
from evergreen.registry import ledger as ledger_store
from evergreen.release import rollout
from evergreen.spec import ModelSpec
from evergreen.spec.release import RolloutStage
from evergreen.storage.base import ObjectStore

log = logging.getLogger(__name__)


class BackedOutError(Exception):
    """The version was tried and found bad; the message says by what."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A version is on its way; ``number`` names the stage in the ledger, where there are stages."""

    version: str
    message: str
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class Proven:
    """A version may be champion; ``message`` says what it showed."""

    message: str = ""


class Target(Protocol):
    """What stands between a version that passed its gates and its callers."""

    def prove(
        self, ledger: ledger_store.Ledger, intent: ledger_store.LedgerEntry, *, now: datetime
    ) -> Waiting | Proven:
        """
        Bring the version of *intent* one step on its way.

        :raises BackedOutError: If it was tried and found bad; the way back is done.
        :raises RolloutError: If it cannot be tried.
        :raises LedgerConflictError: If somebody else decided something since *ledger* was read.
        """


class Direct(Target):
    """Nothing: whoever follows the ledger takes the new champion as soon as there is one."""

    def prove(
        self, ledger: ledger_store.Ledger, intent: ledger_store.LedgerEntry, *, now: datetime
    ) -> Waiting | Proven:
        """Let it serve."""
        return Proven()


class Staged(Target):
    """Stages on the model servers: loaded, in shadow, then for a rising share of the callers."""

    def __init__(self, store: ObjectStore, spec: ModelSpec) -> None:
        self.store, self.deployment = store, spec.deployment

    def prove(
        self, ledger: ledger_store.Ledger, intent: ledger_store.LedgerEntry, *, now: datetime
    ) -> Waiting | Proven:
        """Begin the first stage, or decide on the one that is on."""
        running, version = ledger.rollout, intent.version
        if ledger.champion is None:
            return Proven(message="the first champion has no other to be compared with")
        if running is not None and running.entry.version != version:
            ledger = stop_rollout(self.store, ledger, f"version {version} came after it", now=now)
            running = None
        decision = (
            rollout.RolloutDecision(kind="advance", message=intent.reason)
            if running is None
            else rollout.decide(self.store, running, self.deployment.limits, now=now)
        )
        where = f"{running.stage}: " if running else ""
        message = f"{where}{decision.message}"
        if running is not None and decision.kind == "wait":
            return Waiting(version=version, message=message, number=running.number)
        if decision.kind == "back_out":
            append_step(self.store, ledger, intent, step="backed_out", message=message, now=now)
            raise BackedOutError(message)
        if decision.kind == "stop":
            append_step(self.store, ledger, intent, step="stopped", message=message, now=now)
            raise RolloutError(f"Version {version} proved nothing, the champion stays. {message}.")
        stage = rollout.next_stage(self.deployment, running.stage if running else None)
        if stage is None:
            return Proven(message=message)
        ledger = append_step(
            self.store, ledger, intent, step="stage", message=message, now=now, stage=stage
        )
        return Waiting(
            version=version, message=f"{message}; now {stage}", number=len(ledger.entries)
        )


def append_step(
    store: ObjectStore,
    ledger: ledger_store.Ledger,
    intent: ledger_store.LedgerEntry,
    *,
    step: ledger_store.Step,
    message: str,
    now: datetime,
    stage: RolloutStage | None = None,
) -> ledger_store.Ledger:
    """Return *ledger* with one more step of the version of *intent* on its way."""
    change = {"step": step, "reason": message, "stage": stage, "recorded_at": now}
    return ledger_store.append(store, ledger, intent.model_copy(update=change))


def stop_rollout(
    store: ObjectStore, ledger: ledger_store.Ledger, why: str, *, now: datetime
) -> ledger_store.Ledger:
    """Return *ledger* with its rollout ended, so that servers answer with the champion alone."""
    running = ledger.rollout
    if running is None:
        return ledger
    log.warning("Version %s is on its way no more: %s", running.entry.version, why)
    return append_step(store, ledger, running.entry, step="stopped", message=why, now=now)
