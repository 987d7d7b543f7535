"""Decide whether a registered version becomes champion, and bring it there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import AliasMovedError
from evergreen.modeling.smoke_test import smoke_test
from evergreen.receipts.release import ApprovalReceipt, DeploymentReceipt, RegistrationReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.health_record import red_day, why_held
from evergreen.registry.ledger_mirror import mirror_ledger
from evergreen.release.approval import reason_not_approved
from evergreen.release.champion_change import (
    ServingState,
    change_champion,
    entry_of,
    explain_moved,
    observe,
)
from evergreen.release.target_registry import target_of
from evergreen.release.targets import BackedOutError, Waiting, stop_rollout
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: Others may promote while this run decides; each time it decides again, up to this often.
MAX_DECISIONS = 10


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
    answers_red: bool = False,
) -> DeploymentReceipt | Waiting:
    """
    Make the registered version champion if it passed its gates, is not history, and was approved.

    Where the spec requires shadow, canary or SageMaker it must prove itself first. That takes a
    while: this says what it waits for, and is called again later. Safe to repeat: a version that
    serves already is left alone, and one on its way goes on from where it is. A version that may
    not serve is a normal answer, not an error. If another version was promoted since this one was
    evaluated, it is compared with that one.

    :param reevaluate: Judges the challenger beside the present champion and registers that.
    :param actor: Who triggered it, for the ledger: an Airflow run or a person.
    :param now: The instant written into the ledger.
    :param approval: A person's answer about this evaluation, where the spec requires one. A
        no goes into the ledger too.
    :param run: Identity of the run that asks, the same in all of its tries: a later try of the run
        that promoted the version still answers that it did.
    :param answers_red: Whether the run was started because of what monitor found, or by a person:
        then a red day does not hold it.
    :raises ArtifactError: If the version's artifact cannot be loaded or does not predict.
    :raises AliasMovedError: If it may serve, but somebody moved the alias by hand.
    :raises RolloutError: If no model server could try it.
    """
    for _ in range(MAX_DECISIONS):
        serving = observe(workspace.store, workspace.client, workspace.spec.model, now=now)
        if _promoted_before(serving, registration, run=run):
            return _receipt(registration, serving, reason=None)
        is_stale = _is_stale(registration, serving)
        reason = _refusal(registration, serving, dry_run=dry_run)
        reason = reason or _held(workspace, registration, approval, answers_red=answers_red)
        if reason is None and workspace.spec.deployment.approval.required:
            reason = reason_not_approved(registration, approval, is_stale=is_stale)
        if reason is not None:
            _decline(
                workspace, registration, serving, approval, reason=reason, actor=actor, now=now
            )
            return _receipt(registration, serving, reason=reason)
        if is_stale:
            log.info(
                "Compared with version %s, but version %s serves now: comparing again.",
                registration.compared_with,
                serving.champion_version,
            )
            registration = reevaluate()
            continue
        if serving.is_moved_by_hand:
            raise AliasMovedError(explain_moved(serving))
        version = workspace.client.get_model_version(workspace.spec.model, registration.version)
        entry = _entry("intent", version, serving, approval, actor=actor, now=now, run=run)
        try:
            return _promote(workspace, registration, serving, version, entry)
        except ledger_store.LedgerConflictError:
            continue  # somebody else decided something meanwhile
    raise RuntimeError(
        f"The champion of {workspace.spec.model} changed {MAX_DECISIONS} times while version "
        f"{registration.version} was waiting. Nothing was promoted; this task will try again."
    )


def _held(
    workspace: Workspace,
    registration: RegistrationReceipt,
    approval: ApprovalReceipt | None,
    *,
    answers_red: bool,
) -> str | None:
    """Return why a red day holds the promotion, or None; a person who approved has seen it."""
    if answers_red or (approval is not None and approval.approved):
        return None
    red = red_day(workspace.store, registration.model, as_of=registration.as_of)
    if red is None:
        return None
    if workspace.spec.deployment.on_red == "hold":
        return why_held(red, setting="deployment.on_red")
    log.warning("%s is red, and deployment.on_red is warn: %s", red.day, "; ".join(red.reasons))
    return None


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


def _promote(
    workspace: Workspace,
    registration: RegistrationReceipt,
    serving: ServingState,
    version: ModelVersion,
    entry: ledger_store.LedgerEntry,
) -> DeploymentReceipt | Waiting:
    """Bring *version* one step on its way, and make it champion at its end."""
    try:
        waiting = _next_step(workspace, serving.ledger, version, entry)
    except BackedOutError as error:
        mirror_ledger(
            workspace.client, ledger_store.read_ledger(workspace.store, workspace.spec.model)
        )
        reason = f"it backed out: {error}"
        return _receipt(registration, serving, reason=reason, is_backed_out=True)
    return waiting or _receipt(registration, serving, reason=None)


def _next_step(
    workspace: Workspace,
    ledger: ledger_store.Ledger,
    version: ModelVersion,
    entry: ledger_store.LedgerEntry,
) -> Waiting | None:
    """Return what *version* waits for on its way, or None: it is champion now."""
    # Nothing serves without its evidence.
    mlflow_registry.tag(version, mlflow_registry.TAG_EVIDENCE)
    if ledger.rollout is None or ledger.rollout.entry.version != entry.version:
        smoke_test(workspace.client, workspace.spec, version)
    proof = target_of(workspace).prove(ledger, entry, now=entry.recorded_at)
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
    workspace: Workspace,
    registration: RegistrationReceipt,
    serving: ServingState,
    approval: ApprovalReceipt | None,
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Leave the alias alone; warn if it was moved by hand, and write down a person's no."""
    ledger = serving.ledger
    if ledger.rollout is not None and ledger.rollout.entry.version == registration.version:
        ledger = stop_rollout(workspace.store, ledger, reason, now=now)
    if serving.is_moved_by_hand:
        log.warning("%s", explain_moved(serving))
    if approval is not None and approval.asked and not approval.approved:
        version = workspace.client.get_model_version(registration.model, registration.version)
        no = _entry("refused", version, serving, approval, actor=actor, now=now)
        ledger = ledger_store.append_once(workspace.store, no)
    mirror_ledger(workspace.client, ledger)


def _entry(
    step: ledger_store.Step,
    version: ModelVersion,
    serving: ServingState,
    approval: ApprovalReceipt | None,
    *,
    actor: str,
    now: datetime,
    run: str | None = None,
) -> ledger_store.LedgerEntry:
    reason = version.description or ""
    if approval is not None and approval.asked:
        actor = f"{approval.actor}, in {actor}"
        answer = "approved" if approval.approved else "rejected"
        reason += f"; {answer} by {approval.actor}: {approval.message or 'no comment'}"
    return entry_of(
        version,
        step=step,
        action="promote",
        previous=serving.champion_version,
        serves_from=mlflow_registry.as_of_of(version),
        actor=actor,
        reason=reason,
        now=now,
        run=run,
    )


def _is_stale(registration: RegistrationReceipt, serving: ServingState) -> bool:
    """Return whether the verdict compares with a version that is not the champion (any more)."""
    return serving.champion_version not in (registration.version, registration.compared_with)


def _receipt(
    registration: RegistrationReceipt,
    before: ServingState,
    *,
    reason: str | None,
    is_backed_out: bool = False,
) -> DeploymentReceipt:
    """Say what became of the version; without a *reason* against it, it is champion now."""
    return DeploymentReceipt(
        model=registration.model,
        as_of=registration.as_of,
        version=registration.version,
        champion_version=registration.version if reason is None else before.champion_version,
        moved=reason is None,
        reason=reason or "it passed every gate",
        is_backed_out=is_backed_out,
    )
