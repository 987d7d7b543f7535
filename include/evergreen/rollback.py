"""
Go back to an earlier champion, by hand.

The target is loaded and probed before anything moves, and comes from the ledger, never from
counting version numbers: the version before this one may have been a challenger that lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen import ledger, registry
from evergreen.deployment import Serving, change_champion, observe
from evergreen.errors import RollbackError
from evergreen.probing import probe
from evergreen.receipts import RollbackReceipt
from evergreen.spec import ModelSpec
from evergreen.storage import ObjectStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def roll_back_model(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    *,
    version: str | None,
    as_of: datetime,
    actor: str,
    reason: str,
    now: datetime,
    dry_run: bool,
    force: bool,
) -> RollbackReceipt:
    """
    Make an earlier version champion again.

    Safe to repeat: a target that serves already is left alone. With *dry_run* everything is checked
    and nothing moves. It also settles an alias that was moved by hand.

    :param version: Target; None takes the last champion before the present one.
    :param as_of: The instant of the runs' time from which the target serves.
    :param force: Allow a version that never served, or that missed a gate.
    :raises RollbackError: If there is no such target, or it may not serve without force.
    :raises ArtefactError: If the target cannot be loaded or does not predict.
    """
    while True:
        serving = observe(store, client, spec.model, now=now)
        target = _target(client, spec.model, serving, version=version)
        warnings = _refuse_unproven(serving, target, force=force)
        probe(client, spec, target)
        champion = serving.ledger.champion
        before = champion.version if champion else None
        is_there = before == serving.alias == str(target.version)
        receipt = RollbackReceipt(
            model=spec.model,
            as_of=as_of,
            previous=before,
            version=str(target.version),
            version_as_of=datetime.fromisoformat(registry.tag(target, registry.TAG_AS_OF)),
            moved=not (is_there or dry_run),
            warnings=warnings,
        )
        if is_there or dry_run:
            return receipt
        entry = ledger.Entry(
            step="intent",
            action="rollback",
            model=spec.model,
            version=receipt.version,
            previous=before,
            as_of=receipt.version_as_of,
            serves_from=as_of,
            artefact_sha256=registry.tag(target, registry.TAG_SHA256),
            actor=actor,
            reason="; ".join([reason, *warnings]),
            recorded_at=now,
        )
        if change_champion(store, client, serving.ledger, entry):
            return receipt


def _target(
    client: MlflowClient, model: str, serving: Serving, *, version: str | None
) -> ModelVersion:
    book = serving.ledger
    if version is None:
        earlier = book.rollback_target()
        if earlier is None:
            now = f"version {book.champion.version}" if book.champion else "no version"
            raise RollbackError(
                f"{model} has no champion to go back to: {now} serves, and no other was champion "
                "before it. Nothing was moved. Name a version and say force, or retrain."
            )
        version = earlier.version
    found = registry.find_version(client, model, version)
    if found is None:
        served = ", ".join(dict.fromkeys(e.version for e in book.outcomes)) or "none"
        raise RollbackError(
            f"{model} has no version {version} in MLflow. Nothing was moved. Versions that served: "
            f"{served}."
        )
    return found


def _refuse_unproven(serving: Serving, target: ModelVersion, *, force: bool) -> tuple[str, ...]:
    """Return what speaks against *target* but is forced; without force, refuse it."""
    version, book = str(target.version), serving.ledger
    doubts = []
    if not book.has_served(version):
        doubts.append(f"version {version} never served")
    elif book.is_withdrawn(version):
        doubts.append(f"version {version} was rolled back before")
    if target.tags.get(registry.TAG_PASSED) != "passed":
        doubts.append(f"version {version} missed a gate")
    if doubts and not force:
        served = ", ".join(dict.fromkeys(e.version for e in book.standing)) or "none"
        raise RollbackError(
            f"{target.name}: {' and '.join(doubts)}. Nothing was moved. Versions that may serve "
            f"again: {served}. To take this one all the same, say force; the ledger will say so."
        )
    return tuple(f"forced: {doubt}" for doubt in doubts)
