"""
Bring a version to another environment: dev, staging, prod, each a store and a registry.

The bytes that were fitted are the bytes that go: artifact, identity and everything that the
identity names are copied under the digests they have. A verdict is not copied. The version is held
against the champion of the other environment, on the version's own test rows, and is registered
there with that verdict and its evidence. Whether it serves there is decided afterwards, as for any
version: by :func:`evergreen.release.deployment.deploy_model` on the other environment, after a
person's approval where the spec asks for one.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from evergreen.errors import ArtifactError, PromotionError
from evergreen.modeling.artifacts import ARTIFACT
from evergreen.modeling.evaluation import compare, evaluation_key, keep_evaluation, load_rivals
from evergreen.modeling.smoke_test import smoke_test
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen.receipts.release import PromotionReceipt, RegistrationReceipt, VersionIdentity
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import find_version_to_beat
from evergreen.registry.ledger_mirror import mirror_ledger
from evergreen.registry.version_record import load_identity, spec_then
from evergreen.release.champion_change import entry_of, observe
from evergreen.release.decisions import RunDecision, find_decision, keep_decision
from evergreen.release.registration import register_model
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import load_document, read_object
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: On a version that was promoted from another environment: its store and version there.
TAG_FROM = "evergreen.promoted_from"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where versions live and serve."""

    name: str
    store: ObjectStore
    client: MlflowClient


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
    Copy *version* from *here* to *there*, judge it beside the champion there, and register it.

    Nothing serves by this alone. A version that misses a gate there is registered there with that
    verdict, which keeps it from serving. Safe to repeat: what is there already is found by its key,
    the first judgement beside a champion is kept, and the ledger here names the move once. A later
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
    if (decided := find_decision(here.store, spec.model, run)) is not None:
        version = decided.version
    found = _allowed(here, spec.model, version=version, force=force, now=now)
    smoke_test(here.client, spec, found)
    identity = load_identity(here.store, found)
    champion = find_version_to_beat(
        Workspace(there.store, there.client, spec), as_of=identity.as_of
    )
    if dry_run:
        models = load_rivals(
            here.client,
            there.client,
            spec,
            best=identity.challenger,
            candidates=identity.candidates,
            champion=champion,
        )
        evaluation, _ = compare(
            here.store,
            _judging(spec, identity),
            models,
            best=identity.challenger,
            candidates=identity.candidates,
            examples=identity.examples,
            champion=champion,
            keep=False,
        )
        return _receipt(found, there, evaluation, registration=None)
    if run is not None:
        against = str(champion.version) if champion else None
        mine = RunDecision(run=run, action="promote", version=str(found.version), previous=against)
        kept = keep_decision(here.store, spec.model, mine)
        if kept.version != mine.version:  # another try of this run chose at the same time
            return promote_version(
                here,
                there,
                spec,
                version=kept.version,
                actor=actor,
                reason=reason,
                now=now,
                dry_run=dry_run,
                force=force,
                run=run,
            )
    _copy_objects(here, there, found, identity)
    note = f"promoted from version {found.version} of {here.name}: {reason}"
    registration, evaluation = _register(
        here, there, spec, found, identity, champion=champion, note=note
    )
    arrived = there.client.get_model_version(spec.model, registration.version)
    smoke_test(there.client, spec, arrived)
    _write_down(here, there, found, arrived, actor=actor, reason=reason, now=now)
    return _receipt(found, there, evaluation, registration=registration)


def _judging(spec: ModelSpec, identity: VersionIdentity) -> ModelSpec:
    """Return the spec that the version was made by, with the gates of today."""
    return spec_then(identity).model_copy(update={"gates": spec.gates})


def _receipt(
    version: ModelVersion,
    there: Environment,
    evaluation: EvaluationReceipt,
    *,
    registration: RegistrationReceipt | None,
) -> PromotionReceipt:
    return PromotionReceipt(
        model=str(version.name),
        as_of=evaluation.as_of,
        version=str(version.version),
        to=there.name,
        passed=evaluation.passed,
        compared_with=evaluation.champion_version,
        test_rows=evaluation.test_rows,
        gates=evaluation.gates,
        registration=registration,
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
    _kept(
        here, mlflow_registry.tag(found, mlflow_registry.TAG_EVIDENCE)
    )  # nothing goes without its evidence
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


def _copy_objects(
    here: Environment, there: Environment, version: ModelVersion, identity: VersionIdentity
) -> None:
    """Copy all that the identity names, whatever names whatever; data first, the identity last."""
    refs = list(_named_objects(here.store, identity.model_dump(mode="json")))
    for number, ref in enumerate(refs, start=1):
        if there.store.head(ref.key) is None:
            there.store.put_if_absent(ref.key, read_object(here.store, ref))
        if number % 20 == 0:
            log.info("copied %d of %d objects", number, len(refs))
    asked = layout.sanity_record(version.name, identity.key)
    if here.store.head(asked) is not None:
        there.store.put_if_absent(asked, here.store.get(asked))
    key = layout.identity_record(
        version.name, mlflow_registry.tag(version, mlflow_registry.TAG_KEY)
    )
    data = _kept(here, key)
    if not there.store.put_if_absent(key, data) and there.store.get(key) != data:
        raise ArtifactError(
            f"{key} differs between {here.store.uri} and {there.store.uri}. Nothing was "
            "overwritten. One of the two was changed; compare them, and remove the wrong one."
        )


def _named_objects(store: ObjectStore, content: JsonValue) -> Iterator[ObjectRef]:
    """
    Yield every object that *content* names by key and digest, each after those that it names.

    JSON objects are read and searched in turn, so that no level has to be listed here.
    """
    if isinstance(content, list):
        for one in content:
            yield from _named_objects(store, one)
    elif isinstance(content, dict) and set(content) == set(ObjectRef.model_fields):
        ref = ObjectRef.model_validate(content)
        if ref.key.endswith(".json"):
            yield from _named_objects(store, json.loads(read_object(store, ref)))
        yield ref
    elif isinstance(content, dict):
        for one in content.values():
            yield from _named_objects(store, one)


def _kept(here: Environment, key: str) -> bytes:
    try:
        return here.store.get(key)
    except FileNotFoundError:
        raise ArtifactError(
            f"{key} is gone from {here.store.uri}. Nothing goes without its evidence: restore it "
            "from a backup, or promote another version."
        ) from None


def _register(
    here: Environment,
    there: Environment,
    spec: ModelSpec,
    version: ModelVersion,
    identity: VersionIdentity,
    *,
    champion: ModelVersion | None,
    note: str,
) -> tuple[RegistrationReceipt, EvaluationReceipt]:
    """Judge the version beside the champion there, and give it its one version there."""
    mlflow_registry.ensure_registered_model(there.client, spec.model, description=spec.description)
    run = _run(here, there, spec, version)
    model_id = run.data.tags[mlflow_registry.TAG_MODEL_ID]
    arrived = identity.challenger.model_copy(
        update={"run_id": run.info.run_id, "model_id": model_id}
    )
    evaluation = _judged(here, there, spec, identity, arrived=arrived, champion=champion)
    registration = register_model(
        Workspace(there.store, there.client, spec),
        evaluation=evaluation,
        validation=identity.validation,
        examples=identity.examples,
        drift=identity.drift,
        note=note,
        tags={TAG_FROM: f"{here.store.uri} version {version.version}"},
    )
    return registration, evaluation


def _judged(
    here: Environment,
    there: Environment,
    spec: ModelSpec,
    identity: VersionIdentity,
    *,
    arrived: CandidateReceipt,
    champion: ModelVersion | None,
) -> EvaluationReceipt:
    """Return the one judgement there of the version beside *champion*."""
    if champion is not None and champion.tags.get(mlflow_registry.TAG_KEY) == identity.key:
        kept = champion.tags[mlflow_registry.TAG_EVALUATION]  # it serves there: that verdict stands
        return load_document(there.store, kept, EvaluationReceipt)
    key = evaluation_key(spec.model, identity.key, champion)
    if there.store.head(key) is None:
        models = load_rivals(
            here.client,
            there.client,
            spec,
            best=identity.challenger,
            candidates=identity.candidates,
            champion=champion,
        )
        evaluation, details = compare(
            there.store,
            _judging(spec, identity),
            models,
            best=arrived,
            candidates=identity.candidates,
            examples=identity.examples,
            champion=champion,
        )
        keep_evaluation(there.store, evaluation, details)
    return load_document(there.store, key, EvaluationReceipt)


def _run(here: Environment, there: Environment, spec: ModelSpec, version: ModelVersion) -> Run:
    """Return the run *there* that holds the artifact, made or finished if need be."""
    from mlflow.entities import Metric, Param

    key = mlflow_registry.tag(version, mlflow_registry.TAG_KEY)
    experiment = mlflow_registry.ensure_experiment(there.client, spec.model)
    earlier = mlflow_registry.runs_of(there.client, experiment, key)
    if whole := [run for run in earlier if mlflow_registry.is_whole(run)]:
        return whole[0]
    made = here.client.get_run(str(version.run_id))
    tags = {k: v for k, v in made.data.tags.items() if not k.startswith("mlflow.")}
    tags.pop(mlflow_registry.TAG_MODEL_ID, None)  # what makes a run whole comes last
    run = (
        earlier[0]
        if earlier
        else there.client.create_run(
            experiment, run_name=made.info.run_name, tags=tags | {mlflow_registry.TAG_KEY: key}
        )
    )
    there.client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, 0, 0) for name, value in made.data.metrics.items()],
        params=[Param(name, value) for name, value in made.data.params.items()],
    )
    with tempfile.TemporaryDirectory() as folder:
        model = _downloaded(here, version, Path(folder))
        mlflow_registry.log_model_folder(
            there.client,
            run,
            model,
            name=mlflow_registry.tag(version, mlflow_registry.TAG_CANDIDATE),
            tags={},
        )
    return there.client.get_run(run.info.run_id)


def _downloaded(here: Environment, version: ModelVersion, folder: Path) -> Path:
    """Bring the whole logged model into *folder*; its artifact is the one that was judged."""
    from mlflow.artifacts import download_artifacts

    logged = here.client.get_logged_model(
        mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID)
    )
    found = Path(
        download_artifacts(
            artifact_uri=logged.artifact_location,
            dst_path=str(folder),
            tracking_uri=here.client.tracking_uri,
        )
    )
    sha256, expected = (
        sha256_of((found / ARTIFACT).read_bytes()),
        mlflow_registry.tag(version, mlflow_registry.TAG_SHA256),
    )
    if sha256 != expected:
        raise ArtifactError(
            f"The artifact of version {version.version} in {here.name} has sha256 {sha256[:12]}, "
            f"expected {expected[:12]}. It was not copied. Restore it from a backup."
        )
    return found


def _write_down(
    here: Environment,
    there: Environment,
    version: ModelVersion,
    arrived: ModelVersion,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Write into the ledger here where the version went."""
    entry = entry_of(
        version,
        step="sent",
        action="promote",
        previous=None,
        serves_from=mlflow_registry.as_of_of(version),
        actor=actor,
        reason=f"to {there.name} as version {arrived.version}: {reason}",
        now=now,
    )
    mirror_ledger(here.client, ledger_store.append_once(here.store, entry))
