"""
Bring a version to another environment: dev, staging, prod, each a store and a registry.

The bytes that were fitted are the bytes that go: artifact, identity and everything that the
identity names are copied under the digests they have. A verdict is not copied. The version is held
against the champion of the other environment, on the version's own test rows, and is registered
there with that verdict and its evidence. Whether it serves there is decided afterwards, as for any
version: by :func:`evergreen.release.deployment.deploy_model` on the other environment, after a
person's approval where the spec requires one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.errors import PromotionError
from evergreen.modeling.comparison import Comparison, compare, comparison_level, load_models
from evergreen.modeling.evaluation import judge_once
from evergreen.modeling.smoke_test import smoke_test
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.release import PromotionReceipt, RegistrationReceipt, VersionIdentity
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import VersionToBeat, find_version_to_beat
from evergreen.registry.ledger_mirror import mirror_ledger
from evergreen.registry.version_record import load_identity, spec_then
from evergreen.release.champion_change import entry_of, observe
from evergreen.release.decisions import RunDecision, find_decision, keep_decision
from evergreen.release.registration import register_model
from evergreen.release.transfer import Environment, copy_objects, copy_run, kept_object
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

#: On a version that was promoted from another environment: its store and version there.
TAG_FROM = "evergreen.promoted_from"


@dataclass(frozen=True, kw_only=True)
class _Move:
    """A version on its way from *here* to *there*, and the champion that it has to beat there."""

    here: Environment
    there: Environment
    spec: ModelSpec
    version: ModelVersion
    identity: VersionIdentity
    champion: VersionToBeat | None

    @property
    def comparison(self) -> Comparison:
        """What is compared: the version as it is here, on its own test rows."""
        return Comparison(
            best=self.identity.challenger,
            candidates=self.identity.candidates,
            examples=self.identity.examples,
            champion=self.champion,
        )


def promote_version(
    here: Environment,
    there: Environment,
    spec: ModelSpec,
    *,
    version: str | None,
    actor: str,
    reason: str,
    now: datetime,
    dry_run: bool,
    force: bool,
    run: str | None = None,
) -> PromotionReceipt:
    """
    Copy *version* from *here* to *there*, compare it with the champion there, and register it.

    Nothing serves by this alone. A version that misses a gate there is registered there with that
    verdict, which keeps it from serving. Safe to repeat: what is there already is found by its key,
    the first evaluation beside a champion is kept, and the ledger here names the move once. A later
    try of *run* promotes the version that its first try chose. With *dry_run* everything is checked
    and judged, and nothing is written.

    :param version: The one to promote; None takes the champion here.
    :param force: Allow a version that never served here, or was rolled back; never one that missed
        a gate.
    :param run: Identity of the run that asks, the same in all of its tries.
    :raises PromotionError: If there is no such version, or it may not go.
    :raises ArtifactError: If its artifact, evidence or data is damaged here, or arrives damaged, or
        the champion there cannot be loaded.
    """
    if here.store.uri == there.store.uri:
        raise PromotionError(
            f"{here.name} and {there.name} are one store, {here.store.uri}. Nothing was copied. "
            "Let the connections of the two environments name two places."
        )
    decided = find_decision(here.store, spec.model, run)
    chosen = decided.version if decided else version
    move = _choose(here, there, spec, version=chosen, force=force, now=now)
    if dry_run:
        evaluation, _ = _judge(move, here.store, move.comparison, keep=False)
        return _receipt(move, evaluation, registration=None)
    if run is not None:
        mine = _decision(run, move)
        kept = keep_decision(here.store, spec.model, mine)
        if kept.version != mine.version:  # another try of this run chose at the same time
            move = _choose(here, there, spec, version=kept.version, force=force, now=now)
    copy_objects(here, there, move.version, move.identity)
    note = f"promoted from version {move.version.version} of {here.name}: {reason}"
    registration, evaluation = _register(move, note=note)
    arrived = there.client.get_model_version(spec.model, registration.version)
    smoke_test(there.client, spec, arrived)
    entry = entry_of(
        move.version,
        step="sent",
        action="promote",
        previous=None,
        serves_from=mlflow_registry.as_of_of(move.version),
        actor=actor,
        reason=f"to {there.name} as version {arrived.version}: {reason}",
        now=now,
    )
    mirror_ledger(here.client, ledger_store.append_once(here.store, entry))
    return _receipt(move, evaluation, registration=registration)


def _choose(
    here: Environment,
    there: Environment,
    spec: ModelSpec,
    *,
    version: str | None,
    force: bool,
    now: datetime,
) -> _Move:
    """Find the version that goes, try it, and find the one it has to beat."""
    found = _allowed(here, spec.model, version=version, force=force, now=now)
    smoke_test(here.client, spec, found)
    identity = load_identity(here.store, found)
    champion = find_version_to_beat(there.workspace(spec), as_of=identity.as_of)
    return _Move(
        here=here, there=there, spec=spec, version=found, identity=identity, champion=champion
    )


def _decision(run: str, move: _Move) -> RunDecision:
    champion = move.champion
    return RunDecision(
        run=run,
        action="promote",
        version=str(move.version.version),
        previous=champion.version if champion else None,
    )


def _allowed(
    here: Environment, model: str, *, version: str | None, force: bool, now: datetime
) -> ModelVersion:
    """Return the version that was asked for, if it may go."""
    ledger = observe(here.store, here.client, model, now=now).ledger
    if version is None:
        if ledger.champion is None:
            raise PromotionError(
                f"{model} has no champion in {here.name}. Nothing was copied. Run retrain first, "
                "or name a version."
            )
        version = ledger.champion.version
    found = mlflow_registry.find_version(here.client, model, version)
    if found is None:
        raise PromotionError(f"{model} has no version {version} in {here.name}. Name another.")
    if found.tags.get(mlflow_registry.TAG_PASSED) != "passed":
        raise PromotionError(
            f"Version {version} of {model} missed a gate in {here.name}: {found.description}. "
            "Nothing was copied, and force does not change that."
        )
    # Nothing goes without its evidence.
    kept_object(here, mlflow_registry.tag(found, mlflow_registry.TAG_EVIDENCE))
    doubt = None
    if not ledger.has_served(version):
        doubt = f"never served in {here.name}"
    elif ledger.is_withdrawn(version):
        doubt = f"was rolled back in {here.name}"
    if doubt and not force:
        raise PromotionError(
            f"Version {version} of {model} {doubt}. Nothing was copied. Name a version that "
            "serves, or say force."
        )
    return found


def _register(move: _Move, *, note: str) -> tuple[RegistrationReceipt, EvaluationReceipt]:
    """Judge the version beside the champion there, and give it its one version there."""
    here, there, spec, identity = move.here, move.there, move.spec, move.identity
    mlflow_registry.ensure_registered_model(there.client, spec.model, description=spec.description)
    run = copy_run(here, there, move.version)
    model_id = run.data.tags[mlflow_registry.TAG_MODEL_ID]
    arrived = identity.challenger.model_copy(
        update={"run_id": run.info.run_id, "model_id": model_id}
    )
    comparison = replace(move.comparison, best=arrived)
    evaluation = judge_once(
        there.store, spec.model, comparison, lambda: _judge(move, there.store, comparison)
    )
    registration = register_model(
        there.workspace(spec),
        evaluation=evaluation,
        validation=identity.validation,
        examples=identity.examples,
        drift=identity.drift,
        stages=identity.stages,
        note=note,
        tags={TAG_FROM: f"{here.store.uri} version {move.version.version}"},
    )
    return registration, evaluation


def _judge(
    move: _Move, store: ObjectStore, comparison: Comparison, *, keep: bool = True
) -> tuple[EvaluationReceipt, bytes]:
    """Judge by the spec that the version was made by, with the gates of today."""
    spec = spec_then(move.identity).model_copy(update={"gates": move.spec.gates})
    # Its artifact is the same in both registries; the baseline was not copied.
    models = load_models(move.here.client, move.there.client, move.spec, move.comparison)
    level = comparison_level(store, spec, comparison, keep=keep)
    return compare(store, spec, models, comparison, keep=keep, level=level)


def _receipt(
    move: _Move, evaluation: EvaluationReceipt, *, registration: RegistrationReceipt | None
) -> PromotionReceipt:
    return PromotionReceipt(
        model=move.spec.model,
        as_of=evaluation.as_of,
        version=str(move.version.version),
        to=move.there.name,
        passed=evaluation.passed,
        compared_with=evaluation.champion_version,
        test_rows=evaluation.test_rows,
        gates=evaluation.gates,
        registration=registration,
    )
