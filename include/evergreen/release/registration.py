"""Give an evaluated challenger its one version in the registry, whatever is retried or raced."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from evergreen.data.window import SEGMENTS, training_window
from evergreen.digests import code_digest, git_state, installed_versions, spec_digest
from evergreen.receipts.common import StageReceipt
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.monitoring import DriftReceipt
from evergreen.receipts.release import RegistrationReceipt, VersionIdentity
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import (
    evaluation_digest,
    load_identity,
    require_recorded,
)
from evergreen.release.version_comparisons import compare_version, compute_tags
from evergreen.reporting.evidence import (
    EvidencePack,
    keep_evidence,
    render_evidence,
)
from evergreen.storage import layout
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import put_document_once
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: Folder among the artifacts of the challenger's run in MLflow.
EVIDENCE = "evidence"


def register_model(
    workspace: Workspace,
    *,
    evaluation: EvaluationReceipt,
    validation: ValidationReceipt,
    examples: ExamplesReceipt,
    drift: DriftReceipt,
    tags: dict[str, str],
    stages: Mapping[str, StageReceipt] | None = None,
    note: str = "",
) -> RegistrationReceipt:
    """
    Return the version of the evaluated challenger with its evidence, creating both if needed.

    The registry has no unique keys, so this converges instead: look up, create, look up again;
    the lowest version stays and the others go, except one that carries an alias. What made the
    version is kept beside it, as one object that :mod:`evergreen.operations.reproduction` reads.

    :param tags: Which run made it: an Airflow run and its bundle.
    :param stages: Results of further stages, by name. A check that did not pass holds the version
        back as a failed gate does.
    :param note: Added to the version's description.
    """
    client, spec, key = workspace.client, workspace.spec, evaluation.challenger.key
    mlflow_registry.ensure_registered_model(client, spec.model, description=spec.description)
    found = mlflow_registry.versions_of(client, spec.model, key)
    created = not found
    if created:
        identity = _identity(
            workspace,
            evaluation=evaluation,
            validation=validation,
            examples=examples,
            drift=drift,
            run=tags,
            stages=stages or {},
        )
        _create(workspace, identity, evaluation, tags=tags, note=note)
        found = mlflow_registry.versions_of(client, spec.model, key)
    version = found[0]
    for extra in found[1:]:
        _remove(client, spec.model, extra)
    evidence, pack = _evidence(workspace, version, evaluation, note=note)
    return RegistrationReceipt(
        model=spec.model,
        as_of=evaluation.as_of,
        version=str(version.version),
        key=key,
        created=created,
        passed=pack.passed,
        compared_with=evaluation.champion_version,
        evidence=evidence,
        run_id=evaluation.challenger.run_id,
        experiment_id=mlflow_registry.ensure_experiment(client, spec.model),
    )


def _create(
    workspace: Workspace,
    identity: VersionIdentity,
    evaluation: EvaluationReceipt,
    *,
    tags: dict[str, str],
    note: str,
) -> None:
    """Keep the identity unless another try did so before, then make a version of it."""
    key = layout.identity_record(identity.model, identity.key)
    kept = put_document_once(workspace.store, key, identity)
    challenger = evaluation.challenger
    workspace.client.create_model_version(
        identity.model,
        source=f"models:/{challenger.model_id}",
        run_id=challenger.run_id,
        model_id=challenger.model_id,
        # One call with all tags, so that there is never a half-registered version.
        tags=_tags(kept, evaluation) | tags,
        description=_describe(kept, evaluation, note),
        await_creation_for=0,
    )


def _evidence(
    workspace: Workspace, version: ModelVersion, evaluation: EvaluationReceipt, *, note: str
) -> tuple[str, EvidencePack]:
    """Return the key and the content of the evidence, kept in the store and shown in MLflow."""
    identity = load_identity(workspace.store, version)
    _refresh(workspace.client, version, identity, evaluation, note=note)
    evidence, pack = keep_evidence(
        workspace.store,
        workspace.spec,
        version=str(version.version),
        evaluation=evaluation,
        identity=identity,
        compare=lambda: compare_version(
            workspace, version, identity=identity, evaluation=evaluation
        ),
    )
    _show(workspace.client, version, pack, evidence)
    return evidence, pack


def _show(client: MlflowClient, version: ModelVersion, pack: EvidencePack, evidence: str) -> None:
    """Show the pack in MLflow beside the model, and name it on the version last of all."""
    if version.tags.get(mlflow_registry.TAG_EVIDENCE) == evidence:
        return
    run_id = pack.challenger.run_id
    client.log_text(run_id, pack.model_dump_json(indent=1), f"{EVIDENCE}/{EVIDENCE_DATA}")
    client.log_text(run_id, render_evidence(pack), f"{EVIDENCE}/{EVIDENCE_PAGE}")
    mlflow_registry.set_tag(client, version, mlflow_registry.TAG_EVIDENCE, evidence)


def _identity(
    workspace: Workspace,
    *,
    evaluation: EvaluationReceipt,
    validation: ValidationReceipt,
    examples: ExamplesReceipt,
    drift: DriftReceipt,
    run: dict[str, str],
    stages: Mapping[str, StageReceipt],
) -> VersionIdentity:
    spec = workspace.spec
    window = training_window(evaluation.as_of, spec.window)
    sha, is_dirty = git_state()
    return VersionIdentity(
        model=spec.model,
        key=evaluation.challenger.key,
        as_of=evaluation.as_of,
        challenger=evaluation.challenger,
        candidates=evaluation.candidates,
        validation=validation,
        examples=examples,
        drift=drift,
        store_uri=workspace.store.uri,
        days={segment: str(getattr(window, segment)) for segment in SEGMENTS},
        spec=spec.model_dump(mode="json"),
        spec_digest=spec_digest(spec),
        code_digest=code_digest(spec.model),
        git_sha=sha,
        git_dirty=is_dirty,
        environment=installed_versions(),
        run=run,
        stages=dict(stages),
    )


def _tags(identity: VersionIdentity, evaluation: EvaluationReceipt) -> dict[str, str]:
    # Of a version that was promoted the identity names the run and the model where it was fitted.
    challenger, examples = evaluation.challenger, identity.examples
    scores = {
        f"evergreen.test_{name}": "none" if value is None else f"{value:.6f}"
        for name, value in evaluation.metrics["challenger"].items()
    }
    return {
        mlflow_registry.TAG_KEY: identity.key,
        mlflow_registry.TAG_AS_OF: identity.as_of.isoformat(),
        mlflow_registry.TAG_CANDIDATE: challenger.candidate,
        mlflow_registry.TAG_SHA256: challenger.artifact_sha256,
        mlflow_registry.TAG_EVALUATION: evaluation.record_key,
        mlflow_registry.TAG_EVALUATION_DIGEST: evaluation_digest(evaluation),
        mlflow_registry.TAG_PASSED: _verdict(identity, evaluation),
        mlflow_registry.TAG_MODEL_ID: challenger.model_id,
        mlflow_registry.TAG_BYTES: str(challenger.artifact_bytes),
        "evergreen.identity": layout.identity_record(identity.model, identity.key),
        "evergreen.examples_digest": examples.digest,
        "evergreen.examples_uri": f"{identity.store_uri}/{examples.manifest.key}",
        **{f"evergreen.{segment}_days": days for segment, days in identity.days.items()},
        "evergreen.spec_digest": identity.spec_digest,
        "evergreen.code_digest": identity.code_digest,
        "evergreen.git_sha": identity.git_sha,
        "evergreen.git_dirty": {True: "yes", False: "no", None: "unknown"}[identity.git_dirty],
        "evergreen.python": identity.environment["python"],
        mlflow_registry.TAG_SCIKIT_LEARN: identity.environment["scikit-learn"],
        **compute_tags(evaluation),
        **scores,
    }


def _refresh(
    client: MlflowClient,
    version: ModelVersion,
    identity: VersionIdentity,
    evaluation: EvaluationReceipt,
    *,
    note: str,
) -> None:
    """Keep the newest evaluation on the version: a later champion may have been compared."""
    if version.tags.get(mlflow_registry.TAG_EVALUATION) == evaluation.record_key:
        require_recorded(version, evaluation)
        return
    model, number = identity.model, version.version
    verdict = _verdict(identity, evaluation)
    client.set_model_version_tag(model, number, mlflow_registry.TAG_PASSED, verdict)
    digest = evaluation_digest(evaluation)
    client.set_model_version_tag(model, number, mlflow_registry.TAG_EVALUATION_DIGEST, digest)
    client.update_model_version(model, number, _describe(identity, evaluation, note))
    # Last: whoever finds this tag takes the others as they are.
    client.set_model_version_tag(
        model, number, mlflow_registry.TAG_EVALUATION, evaluation.record_key
    )


def _remove(client: MlflowClient, model: str, version: ModelVersion) -> None:
    from mlflow.exceptions import MlflowException

    try:
        # A search leaves the aliases out, and deleting a version silently drops its alias.
        if client.get_model_version(model, version.version).aliases:
            log.warning("version %s is a duplicate but carries an alias; it stays", version.version)
            return
        client.delete_model_version(model, version.version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise  # else the other racer removed it first
    log.info("version %s was a duplicate of the same work and is removed", version.version)


def _verdict(identity: VersionIdentity, evaluation: EvaluationReceipt) -> str:
    return "passed" if identity.passed(evaluation) else "failed"


def _describe(identity: VersionIdentity, evaluation: EvaluationReceipt, note: str) -> str:
    missed = identity.missed(evaluation)
    verdict = f"missed: {', '.join(missed)}" if missed else "passed every gate"
    night = f"{evaluation.challenger.candidate}, as of {evaluation.as_of:%Y-%m-%d %H:%M} UTC"
    return "; ".join(filter(None, [night, verdict, note]))
