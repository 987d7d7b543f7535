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
from evergreen.registry import ledger
from evergreen.release import rollout
from evergreen.spec import ModelSpec
from evergreen.spec.release import Stage
from evergreen.storage.base import ObjectStore

log = logging.getLogger(__name__)


class BackedOutError(Exception):
    """The version was tried and found bad; the message says by what."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A version is on its way; ``number`` names the stage in the ledger, where there are stages."""

    version: str
    words: str
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class Proven:
    """A version may be champion; ``words`` say what it showed."""

    words: str = ""


class Target(Protocol):
    """What stands between a version that passed its gates and its callers."""

    def prove(
        self, book: ledger.Ledger, intent: ledger.Entry, *, now: datetime
    ) -> Waiting | Proven:
        """
        Bring the version of *intent* one step on its way.

        :raises BackedOutError: If it was tried and found bad; the way back is done.
        :raises RolloutError: If it cannot be tried.
        :raises LedgerConflictError: If somebody else decided something since *book* was read.
        """


class Direct(Target):
    """Nothing: whoever follows the ledger takes the new champion as soon as there is one."""

    def prove(
        self, book: ledger.Ledger, intent: ledger.Entry, *, now: datetime
    ) -> Waiting | Proven:
        """Let it serve."""
        return Proven()


class Staged(Target):
    """Stages on the model servers: loaded, in shadow, then for a rising share of the callers."""

    def __init__(self, store: ObjectStore, spec: ModelSpec) -> None:
        self.store, self.deployment = store, spec.deployment

    def prove(
        self, book: ledger.Ledger, intent: ledger.Entry, *, now: datetime
    ) -> Waiting | Proven:
        """Begin the first stage, or decide on the one that is on."""
        running, version = book.rollout, intent.version
        if book.champion is None:
            return Proven(words="the first champion has nobody to be compared with")
        if running is not None and running.entry.version != version:
            book = stop(self.store, book, f"version {version} came after it", now=now)
            running = None
        decision = (
            rollout.Decision(kind="advance", words=intent.reason)
            if running is None
            else rollout.decide(self.store, running, self.deployment.limits, now=now)
        )
        where = f"{running.stage}: " if running else ""
        words = f"{where}{decision.words}"
        if running is not None and decision.kind == "wait":
            return Waiting(version=version, words=words, number=running.number)
        if decision.kind == "back_out":
            write_down(self.store, book, intent, step="backed_out", words=words, now=now)
            raise BackedOutError(words)
        if decision.kind == "stop":
            write_down(self.store, book, intent, step="stopped", words=words, now=now)
            raise RolloutError(f"Version {version} proved nothing, the champion stays. {words}.")
        stage = rollout.next_stage(self.deployment, running.stage if running else None)
        if stage is None:
            return Proven(words=words)
        book = write_down(self.store, book, intent, step="stage", words=words, now=now, stage=stage)
        return Waiting(version=version, words=f"{words}; now {stage}", number=len(book.entries))


def write_down(
    store: ObjectStore,
    book: ledger.Ledger,
    intent: ledger.Entry,
    *,
    step: ledger.Step,
    words: str,
    now: datetime,
    stage: Stage | None = None,
) -> ledger.Ledger:
    """Return *book* with one more step of the version of *intent* on its way."""
    change = {"step": step, "reason": words, "stage": stage, "recorded_at": now}
    return ledger.append(store, book, intent.model_copy(update=change))


def stop(store: ObjectStore, book: ledger.Ledger, why: str, *, now: datetime) -> ledger.Ledger:
    """Return *book* with its rollout ended, so that servers answer with the champion alone."""
    running = book.rollout
    if running is None:
        return book
    log.warning("Version %s is on its way no more: %s", running.entry.version, why)
    return write_down(store, book, running.entry, step="stopped", words=why, now=now)
