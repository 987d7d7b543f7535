"""The record of what made a registered version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from evergreen.digests import is_commit_known
from evergreen.errors import ArtifactError
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.registry import mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import content_digest, load_document

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def load_identity(store: ObjectStore, version: ModelVersion) -> VersionIdentity:
    """
    Return what made *version*.

    :raises ArtifactError: If the record is gone, or was never written.
    """
    key = layout.identity_record(
        version.name, mlflow_registry.tag(version, mlflow_registry.TAG_KEY)
    )
    try:
        return load_document(store, key, VersionIdentity)
    except FileNotFoundError:
        raise ArtifactError(
            f"{key} is gone from {store.uri}, so it is not known what made version "
            f"{version.version} of {version.name}. Restore it from a backup."
        ) from None


def evaluation_digest(evaluation: EvaluationReceipt) -> str:
    """
    Return the digest of *evaluation* as it is kept.

    The candidates that failed belong to the run that asked: the kept evaluation does not name them.
    """
    return content_digest(evaluation.model_copy(update={"failed_candidates": ()}))


def require_recorded(version: ModelVersion, evaluation: EvaluationReceipt) -> None:
    """
    Hold a stored evaluation against the digest that *version* was registered with.

    A version of an older release has no such digest.

    :raises ArtifactError: If the evaluation was changed since.
    """
    recorded = version.tags.get(mlflow_registry.TAG_EVALUATION_DIGEST)
    found = evaluation_digest(evaluation)
    if recorded is not None and recorded != found:
        raise ArtifactError(
            f"{evaluation.record_key} was changed after version {version.version} of "
            f"{version.name} was registered with it: found digest {found}, expected {recorded}. "
            "Nothing was decided. Restore it from a backup."
        )


def spec_then(identity: VersionIdentity) -> ModelSpec:
    """
    Return the spec as it was when the version was made.

    :raises ArtifactError: If this release cannot read it any more.
    """
    try:
        return ModelSpec.model_validate(identity.spec)
    except ValidationError as error:
        remedy = (
            f"Check out commit {identity.git_sha} and use it there."
            if is_commit_known(identity)
            else f"Its commit is {identity.git_sha}."
        )
        raise ArtifactError(
            f"The spec that {identity.model} had as of {identity.as_of:%Y-%m-%d} cannot be read by "
            f"this release: {error}. {remedy}"
        ) from error
