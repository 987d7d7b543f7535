"""
Go back to an earlier champion, by hand.

The target is loaded and probed before anything moves, and comes from the ledger, never from
counting version numbers: the version before this one may have been a challenger that lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import RollbackError
from evergreen.modeling.smoke_test import smoke_test
from evergreen.receipts.release import RollbackReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.release.champion_change import ServingState, change_champion, entry_of, observe
from evergreen.release.decisions import RunDecision, find_decision, keep_decision
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

#: Begins each part of a ledger entry's reason that says what was done in spite of a doubt.
FORCED = "forced: "


def roll_back_model(
    workspace: Workspace,
    *,
    version: str | None,
    serves_from: datetime,
    actor: str,
    reason: str,
    now: datetime,
    dry_run: bool,
    force: bool,
    run: str | None = None,
) -> RollbackReceipt:
    """
    Make an earlier version champion again.

    One run goes back once: a later try of *run* finds what it decided, finishes it if need be, and
    decides nothing. A target that serves already is left alone. With *dry_run* everything is
    checked and nothing moves. It also settles an alias that was moved by hand.

    :param version: Target; None takes the last champion before the present one.
    :param serves_from: The instant of the runs' time from which the target serves.
    :param force: Allow a version that never served, or that missed a gate.
    :param run: Identity of the run that asks, the same in all of its tries. Without it every call
        decides anew.
    :raises RollbackError: If there is no such target, it may not serve without force, the target
        that the run chose was deleted before it could serve, or another run changed the champion
        between two tries of this one.
    :raises ArtifactError: If the target cannot be loaded or does not predict.
    """
    decision = find_decision(workspace.store, workspace.spec.model, run)
    for _ in range(ledger_store.MAX_TRIES):
        serving = observe(workspace.store, workspace.client, workspace.spec.model, now=now)
        if (done := serving.ledger.decision_of(run)) is not None:
            return _done_before(done, serving)
        if decision is not None:
            _refuse_changed(decision, serving)
            version = decision.version
        target = _target(workspace.client, workspace.spec.model, serving, version=version)
        warnings = _refuse_unproven(serving, target, force=force)
        smoke_test(workspace.client, workspace.spec, target)
        receipt = _receipt(
            serving, target, serves_from=serves_from, dry_run=dry_run, warnings=warnings
        )
        if dry_run:
            return receipt
        if decision is None and run is not None:
            mine = _decision(run, receipt)
            decision = keep_decision(workspace.store, workspace.spec.model, mine)
            if decision != mine:
                continue  # another try of this run decided at the same time
        entry = entry_of(
            target,
            step="intent",
            action="rollback",
            previous=receipt.previous,
            serves_from=serves_from,
            actor=actor,
            reason="; ".join([reason, *receipt.warnings]),
            now=now,
            run=run,
        )
        if not receipt.moved or change_champion(
            workspace.store, workspace.client, serving.ledger, entry
        ):
            return receipt
    raise ledger_store.changed_meanwhile(workspace.spec.model)


def _receipt(
    serving: ServingState,
    target: ModelVersion,
    *,
    serves_from: datetime,
    dry_run: bool,
    warnings: tuple[str, ...],
) -> RollbackReceipt:
    before = serving.champion_version
    is_there = before == serving.alias == str(target.version)
    return RollbackReceipt(
        model=str(target.name),
        serves_from=serves_from,
        previous=before,
        version=str(target.version),
        version_as_of=mlflow_registry.as_of_of(target),
        champion_version=before if dry_run else str(target.version),
        moved=not (is_there or dry_run),
        warnings=warnings,
    )


def _decision(run: str, receipt: RollbackReceipt) -> RunDecision:
    return RunDecision(
        run=run, action="rollback", version=receipt.version, previous=receipt.previous
    )


def _refuse_changed(decision: RunDecision, serving: ServingState) -> None:
    """Refuse to go on where another run changed the champion since *decision* was made."""
    now = serving.champion_version
    if now not in (decision.previous, decision.version):
        raise RollbackError(
            f"This run decided to put version {decision.version} of {serving.ledger.model} in "
            f"the place of version {decision.previous}, but version {now} was made champion since. "
            "Nothing was moved. If it must go too, start a new run of the rollback DAG."
        )


def _done_before(entry: ledger_store.LedgerEntry, serving: ServingState) -> RollbackReceipt:
    """
    Return what an earlier try of the same run did.

    :raises RollbackError: If its target was deleted from MLflow before it could serve.
    """
    serves = serving.champion_version
    if entry.step == "abandoned":
        raise RollbackError(
            f"This run chose version {entry.version} of {entry.model}, which was deleted from "
            f"MLflow before it could serve. Version {serves or 'none'} serves. Start a new run of "
            "the rollback DAG, and name a version that is there."
        )
    return RollbackReceipt(
        model=entry.model,
        serves_from=entry.serves_from,
        previous=entry.previous,
        version=entry.version,
        version_as_of=entry.as_of,
        champion_version=serves,
        moved=True,
        warnings=tuple(part for part in entry.reason.split("; ") if part.startswith(FORCED)),
    )


def _target(
    client: MlflowClient, model: str, serving: ServingState, *, version: str | None
) -> ModelVersion:
    ledger = serving.ledger
    if version is None:
        earlier = ledger.rollback_target()
        if earlier is None:
            now = f"version {ledger.champion.version}" if ledger.champion else "no version"
            raise RollbackError(
                f"{model} has no champion to go back to: {now} serves, and no other was champion "
                "before it. Nothing was moved. Name a version and say force, or retrain."
            )
        version = earlier.version
    found = mlflow_registry.find_version(client, model, version)
    if found is None:
        served = ", ".join(dict.fromkeys(e.version for e in ledger.outcomes)) or "none"
        raise RollbackError(
            f"{model} has no version {version} in MLflow. Nothing was moved. Versions that served: "
            f"{served}."
        )
    return found


def _refuse_unproven(
    serving: ServingState, target: ModelVersion, *, force: bool
) -> tuple[str, ...]:
    """Return the doubts about *target* that force overrides; without force, refuse it."""
    version, ledger = str(target.version), serving.ledger
    doubts = []
    if not ledger.has_served(version):
        doubts.append(f"version {version} never served")
    elif ledger.is_withdrawn(version):
        doubts.append(f"version {version} was rolled back before")
    if target.tags.get(mlflow_registry.TAG_PASSED) != "passed":
        doubts.append(f"version {version} missed a gate")
    if doubts and not force:
        served = ", ".join(dict.fromkeys(e.version for e in ledger.active_champions)) or "none"
        raise RollbackError(
            f"{target.name}: {' and '.join(doubts)}. Nothing was moved. Versions that may serve "
            f"again: {served}. To take this one all the same, say force; the ledger will say so."
        )
    return tuple(f"{FORCED}{doubt}" for doubt in doubts)
