"""
Move the champion alias. Nothing else in this project does.

Each move is decided in the ledger first (intent) and closed there afterwards (outcome). Whoever
finds an intent without outcome finishes it, so a crash in between mends itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import AliasMovedError
from evergreen.modeling.smoke_test import smoke_test
from evergreen.receipts.release import ApprovalReceipt, DeploymentReceipt, RegistrationReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.ledger_mirror import mirror_ledger
from evergreen.release.approval import reason_not_approved
from evergreen.release.target_registry import target_of
from evergreen.release.targets import BackedOutError, Waiting, stop_rollout
from evergreen.storage.base import ObjectStore
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: Others may promote while this run decides; each time it decides again, up to this often.
MAX_DECISIONS = 10


@dataclass(frozen=True, kw_only=True)
class ServingState:
    """What the ledger says, and the version the alias is at, seen at one moment."""

    ledger: ledger_store.Ledger
    alias: str | None

    @property
    def is_moved_by_hand(self) -> bool:
        """Return whether the alias is not where the ledger put it."""
        champion = self.ledger.champion
        return self.alias != (champion.version if champion else None)


def observe(store: ObjectStore, client: MlflowClient, model: str, *, now: datetime) -> ServingState:
    """
    Return who serves *model*, after finishing what an earlier attempt left unfinished.

    Alias and ledger are looked at while no move is under way, so that a difference between them is
    real: somebody moved the alias by hand.
    """
    while True:
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
            return ServingState(ledger=ledger, alias=str(champion.version) if champion else None)


def deploy_model(
    workspace: Workspace,
    *,
    registration: RegistrationReceipt,
    reevaluate: Callable[[], RegistrationReceipt],
    actor: str,
    now: datetime,
    dry_run: bool = False,
    approval: ApprovalReceipt | None = None,
    run: str | None = None,
) -> DeploymentReceipt | Waiting:
    """
    Make the registered version champion if it passed its gates, is not history, and was approved.

    Where the spec asks for shadow, canary or SageMaker it must prove itself first. That takes a
    while: this says what it waits for, and is called again later. Safe to repeat: a version that
    serves already is left alone, and one on its way goes on from where it is. A version that may
    not serve is a normal answer, not an error. If another version was promoted since this one was
    judged, it is judged again beside that one.

    :param reevaluate: Judges the challenger beside the present champion and registers that.
    :param actor: Who asks for it, for the ledger: an Airflow run or a person.
    :param now: The instant written into the ledger.
    :param approval: A person's answer about this evaluation, where the spec requires one. A
        no goes into the ledger too.
    :param run: Identity of the run that asks, the same in all of its tries: a later try of the run
        that promoted the version still answers that it did.
    :raises ArtifactError: If the version's artifact cannot be loaded or does not predict.
    :raises AliasMovedError: If it may serve, but somebody moved the alias by hand.
    :raises RolloutError: If no model server could try it.
    """
    for _ in range(MAX_DECISIONS):
        serving = observe(workspace.store, workspace.client, workspace.spec.model, now=now)
        champion = serving.ledger.champion
        if _promoted_before(serving, registration, run=run):
            return _receipt(registration, serving, reason=None)
        is_stale = _is_stale(registration, champion)
        reason = _refusal(registration, serving, dry_run=dry_run) or (
            reason_not_approved(registration, approval, is_stale=is_stale)
            if workspace.spec.deployment.approval.required
            else None
        )
        if reason is not None:
            _decline(
                workspace.store,
                workspace.client,
                registration,
                serving,
                approval=approval,
                reason=reason,
                actor=actor,
                now=now,
            )
            return _receipt(registration, serving, reason=reason)
        if is_stale:
            log.info(
                "Judged against version %s, but version %s serves now: judging again.",
                registration.compared_with,
                champion.version if champion else None,
            )
            registration = reevaluate()
            continue
        if serving.is_moved_by_hand:
            raise AliasMovedError(_explain_moved(serving, workspace.spec.model))
        version = workspace.client.get_model_version(workspace.spec.model, registration.version)
        entry = _entry("intent", registration, version, champion, approval, actor=actor, now=now)
        entry = entry.model_copy(update={"run": run})
        try:
            waiting = _promote(workspace, serving.ledger, version, entry, now=now)
        except BackedOutError as error:
            mirror_ledger(
                workspace.client, ledger_store.read_ledger(workspace.store, workspace.spec.model)
            )
            reason = f"it backed out: {error}"
            return _receipt(registration, serving, reason=reason, is_backed_out=True)
        except ledger_store.LedgerConflictError:
            continue  # somebody else decided something meanwhile
        return waiting or _receipt(registration, serving, reason=None)
    raise RuntimeError(
        f"The champion of {workspace.spec.model} changed {MAX_DECISIONS} times while version "
        f"{registration.version} was waiting. Nothing was promoted; this task will try again."
    )


def reason_not_to_promote(
    workspace: Workspace,
    *,
    registration: RegistrationReceipt,
    now: datetime,
    dry_run: bool,
) -> str | None:
    """Return why the version may not serve whatever a person says, or None: then ask one."""
    serving = observe(workspace.store, workspace.client, workspace.spec.model, now=now)
    return _refusal(registration, serving, dry_run=dry_run)


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


def _promote(
    workspace: Workspace,
    ledger: ledger_store.Ledger,
    version: ModelVersion,
    entry: ledger_store.LedgerEntry,
    *,
    now: datetime,
) -> Waiting | None:
    """Bring *version* one step on its way, and make it champion at its end; None: it is."""
    mlflow_registry.tag(
        version, mlflow_registry.TAG_EVIDENCE
    )  # nothing serves without its evidence
    if ledger.rollout is None or ledger.rollout.entry.version != entry.version:
        smoke_test(workspace.client, workspace.spec, version)
    proof = target_of(workspace).prove(ledger, entry, now=now)
    if isinstance(proof, Waiting):
        mirror_ledger(
            workspace.client, ledger_store.read_ledger(workspace.store, workspace.spec.model)
        )
        return proof
    reason = "; ".join(filter(None, [entry.reason, proof.message]))
    if not change_champion(
        workspace.store, workspace.client, ledger, entry.model_copy(update={"reason": reason})
    ):
        raise ledger_store.LedgerConflictError(entry.version)
    return None


def _promoted_before(
    serving: ServingState, registration: RegistrationReceipt, *, run: str | None
) -> bool:
    """Return whether an earlier try of *run* made the version champion, and it still is."""
    champion = serving.ledger.champion
    return (
        champion is not None
        and champion == serving.ledger.decision_of(run)
        and champion.version == registration.version == serving.alias
    )


def _refusal(
    registration: RegistrationReceipt, serving: ServingState, *, dry_run: bool
) -> str | None:
    """Return why the version must not serve whatever it is compared with, or None."""
    ledger = serving.ledger
    if (
        ledger.champion is not None
        and serving.alias == ledger.champion.version == registration.version
    ):
        return "it serves already"
    if not registration.passed:
        return "it missed a gate, the champion stays"
    if dry_run:
        return "dry run, the alias was not touched"
    if ledger.is_withdrawn(registration.version):
        return "it was rolled back; only the rollback DAG can bring it back"
    if ledger.is_backed_out(registration.version):
        return "it backed out before; only the rollback DAG can let it serve, by force"
    if ledger.latest_as_of is not None and registration.as_of < ledger.latest_as_of:
        return (
            f"it is history: a champion knew the world up to {ledger.latest_as_of:%Y-%m-%d %H:%M}"
        )
    return None


def _decline(
    store: ObjectStore,
    client: MlflowClient,
    registration: RegistrationReceipt,
    serving: ServingState,
    *,
    approval: ApprovalReceipt | None,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Leave the alias alone; warn if it was moved by hand, and write down a person's no."""
    ledger = serving.ledger
    if ledger.rollout is not None and ledger.rollout.entry.version == registration.version:
        ledger = stop_rollout(store, ledger, reason, now=now)
    if serving.is_moved_by_hand:
        log.warning("%s", _explain_moved(serving, registration.model))
    if approval is not None and approval.asked and not approval.approved:
        version = client.get_model_version(registration.model, registration.version)
        no = _entry(
            "refused", registration, version, ledger.champion, approval, actor=actor, now=now
        )
        ledger = ledger_store.append_once(store, no)
    mirror_ledger(client, ledger)


def _entry(
    step: ledger_store.Step,
    registration: RegistrationReceipt,
    version: ModelVersion,
    champion: ledger_store.LedgerEntry | None,
    approval: ApprovalReceipt | None,
    *,
    actor: str,
    now: datetime,
) -> ledger_store.LedgerEntry:
    reason = version.description or ""
    if approval is not None and approval.asked:
        actor = f"{approval.actor}, in {actor}"
        answer = "approved" if approval.approved else "rejected"
        reason += f"; {answer} by {approval.actor}: {approval.message or 'no comment'}"
    return ledger_store.LedgerEntry(
        step=step,
        action="promote",
        model=registration.model,
        version=registration.version,
        previous=champion.version if champion else None,
        as_of=registration.as_of,
        serves_from=registration.as_of,
        artifact_sha256=mlflow_registry.tag(version, mlflow_registry.TAG_SHA256),
        actor=actor,
        reason=reason,
        recorded_at=now,
    )


def _is_stale(registration: RegistrationReceipt, champion: ledger_store.LedgerEntry | None) -> bool:
    """Return whether the verdict compares with a version that is not the champion (any more)."""
    now = champion.version if champion else None
    return now not in (registration.version, registration.compared_with)


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


def _receipt(
    registration: RegistrationReceipt,
    before: ServingState,
    *,
    reason: str | None,
    is_backed_out: bool = False,
) -> DeploymentReceipt:
    """Say what became of the version; without a *reason* against it, it is champion now."""
    champion = before.ledger.champion
    stays = champion.version if champion else None
    return DeploymentReceipt(
        model=registration.model,
        as_of=registration.as_of,
        version=registration.version,
        champion_version=registration.version if reason is None else stays,
        moved=reason is None,
        reason=reason or "it passed every gate",
        is_backed_out=is_backed_out,
    )


def _explain_moved(serving: ServingState, model: str) -> str:
    champion = serving.ledger.champion
    expected = f"version {champion.version}" if champion else "no version"
    found = f"version {serving.alias}" if serving.alias else "no version"
    return (
        f"The champion alias of {model} was moved by hand: it is at {found}, the ledger says "
        f"{expected}. Gates and ledger know nothing of that move, and scoring ignores it. Nothing "
        f"is promoted over it. Run {model}__rollback with the version that shall serve: it checks "
        "it, moves the alias and writes it down."
    )
