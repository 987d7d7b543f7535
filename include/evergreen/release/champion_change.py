"""
Move the champion alias. Nothing else in this project does.

Each move is decided in the ledger first (intent) and closed there afterwards (outcome). Whoever
finds an intent without outcome finishes it, so a crash in between mends itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.ledger_mirror import mirror_ledger
from evergreen.storage.base import ObjectStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServingState:
    """
    What the ledger says, and the version the alias is at, seen at one moment.

    ``is_lost``: MLflow no longer has the champion, and so no alias at it.
    """

    ledger: ledger_store.Ledger
    alias: str | None
    is_lost: bool = False

    @property
    def champion_version(self) -> str | None:
        """The version that is champion by the ledger, or None before the first promotion."""
        champion = self.ledger.champion
        return champion.version if champion else None

    @property
    def is_moved_by_hand(self) -> bool:
        """Return whether the alias is not where the ledger put it, and its version exists."""
        is_gone = self.is_lost and self.alias is None
        return self.alias != self.champion_version and not is_gone


def observe(store: ObjectStore, client: MlflowClient, model: str, *, now: datetime) -> ServingState:
    """
    Return who serves *model*, after finishing what an earlier attempt left unfinished.

    Alias and ledger are looked at while no move is under way, so that a difference between them is
    real: somebody moved the alias by hand.

    :raises RuntimeError: If others change the champion all the time; it is worth another try.
    :raises ArtifactError: If the ledger cannot be read, or the unfinished change cannot be closed.
    """
    for _ in range(ledger_store.MAX_TRIES):
        ledger = ledger_store.read_ledger(store, model)
        if ledger.pending is not None:
            log.warning(
                "Finishing the %s of version %s that %s began.",
                ledger.pending.action,
                ledger.pending.version,
                ledger.pending.actor,
            )
            _finish(store, client, ledger, now=now)
            continue
        champion = mlflow_registry.champion_of(client, model)
        if ledger_store.is_newest(store, ledger):
            by_ledger = ledger.champion.version if ledger.champion else None
            return ServingState(
                ledger=ledger,
                alias=str(champion.version) if champion else None,
                is_lost=champion is None
                and by_ledger is not None
                and mlflow_registry.find_version(client, model, by_ledger) is None,
            )
    raise ledger_store.changed_meanwhile(model)


def entry_of(
    version: ModelVersion,
    *,
    step: ledger_store.Step,
    action: Literal["promote", "rollback"],
    previous: str | None,
    serves_from: datetime,
    actor: str,
    reason: str,
    now: datetime,
    run: str | None = None,
) -> ledger_store.LedgerEntry:
    """
    Return a ledger entry about *version*; its tags in MLflow say what it is.

    :param previous: The version in whose place it is put; None if there is none.
    :param serves_from: The instant of the runs' time from which it serves.
    :param now: The instant written into the ledger.
    :param run: Identity of the run that decides, the same in all of its tries.
    """
    return ledger_store.LedgerEntry(
        step=step,
        action=action,
        model=str(version.name),
        version=str(version.version),
        previous=previous,
        as_of=mlflow_registry.as_of_of(version),
        serves_from=serves_from,
        artifact_sha256=mlflow_registry.tag(version, mlflow_registry.TAG_SHA256),
        actor=actor,
        reason=reason,
        recorded_at=now,
        run=run,
    )


def change_champion(
    store: ObjectStore,
    client: MlflowClient,
    ledger: ledger_store.Ledger,
    entry: ledger_store.LedgerEntry,
) -> bool:
    """
    Write the intent *entry*, move the alias, write the outcome.

    :return: False if another run decided something since *ledger* was read; nothing was done then.
    """
    try:
        ledger = ledger_store.append(store, ledger, entry)
    except ledger_store.LedgerConflictError:
        return False
    _finish(store, client, ledger, now=entry.recorded_at)
    return True


def explain_moved(serving: ServingState) -> str:
    """Return what to do about an alias that was moved by hand."""
    model, champion = serving.ledger.model, serving.champion_version
    expected = f"version {champion}" if champion else "no version"
    found = f"version {serving.alias}" if serving.alias else "no version"
    return (
        f"The champion alias of {model} was moved by hand: it is at {found}, the ledger says "
        f"{expected}. Gates and ledger know nothing of that move, and scoring ignores it. Nothing "
        f"is promoted over it. Run {model}__rollback with the version that shall serve: it checks "
        "it, moves the alias and writes it down."
    )


def _finish(
    store: ObjectStore, client: MlflowClient, ledger: ledger_store.Ledger, *, now: datetime
) -> None:
    """Carry out the pending intent of *ledger*; several attempts may do so at once."""
    entry = ledger.pending
    if entry is None or not ledger_store.is_newest(store, ledger):
        return  # another attempt was faster
    step: ledger_store.Step = "outcome"
    if mlflow_registry.find_version(client, entry.model, entry.version) is None:
        log.error("Version %s of %s is gone; it cannot serve.", entry.version, entry.model)
        step = "abandoned"
    else:
        mlflow_registry.set_champion(client, entry.model, entry.version)
    try:
        closed = entry.model_copy(update={"step": step, "recorded_at": now})
        ledger = ledger_store.append(store, ledger, closed)
    except ledger_store.LedgerConflictError:
        # Another attempt closed this move. If the champion has changed again since, the alias that
        # was just set here is old: put it where the ledger says.
        ledger = ledger_store.read_ledger(store, entry.model)
        if ledger.pending is None and ledger.champion and ledger.champion.version != entry.version:
            mlflow_registry.set_champion(client, entry.model, ledger.champion.version)
    mirror_ledger(client, ledger)
