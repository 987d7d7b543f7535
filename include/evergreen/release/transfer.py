"""
Copy what a version consists of from one environment to another, byte by byte.

The artifact, the identity and everything that the identity names keep the digests they have.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue, ValidationError

from evergreen.errors import ArtifactError
from evergreen.modeling.artifacts import ARTIFACT
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.release import VersionIdentity
from evergreen.registry import mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import parse_object, read_object
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where versions live and serve."""

    name: str
    store: ObjectStore
    client: MlflowClient

    def workspace(self, spec: ModelSpec) -> Workspace:
        """Return the context of a stage of the model of *spec* here."""
        return Workspace(self.store, self.client, spec)


def copy_objects(
    here: Environment, there: Environment, version: ModelVersion, identity: VersionIdentity
) -> None:
    """
    Copy all that *identity* names, whatever names whatever; data first, the identity last.

    Safe to repeat: what is there already is not copied again.

    :param version: The version in *here* that *identity* belongs to.
    :raises ArtifactError: If an object is gone or damaged here, or another identity is there.
    """
    refs = list(_named_objects(here.store, identity.model_dump(mode="json")))
    for number, ref in enumerate(refs, start=1):
        if layout.kind_of(ref.key) == "quarantine" and here.store.head(ref.key) is None:
            continue  # no work reads it; retention removes it by age
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
    data = kept_object(here, key)
    if not there.store.put_if_absent(key, data) and there.store.get(key) != data:
        raise ArtifactError(
            f"{key} differs between {here.store.uri} and {there.store.uri}. Nothing was "
            "overwritten. One of the two was changed; compare them, and remove the wrong one."
        )


def kept_object(here: Environment, key: str) -> bytes:
    """
    Return the object under *key* without which a version does not go.

    :raises ArtifactError: If it is gone.
    """
    try:
        return here.store.get(key)
    except FileNotFoundError:
        raise ArtifactError(
            f"{key} is gone from {here.store.uri}. Nothing goes without its evidence: restore it "
            "from a backup, or promote another version."
        ) from None


def copy_run(here: Environment, there: Environment, version: ModelVersion) -> Run:
    """
    Return the run *there* that holds the artifact of *version*, made or finished if need be.

    Safe to repeat: a run of the same key that holds it already is found.

    :raises ArtifactError: If the artifact *here* is not the one that was judged.
    """
    from mlflow.entities import Metric, Param

    key = mlflow_registry.tag(version, mlflow_registry.TAG_KEY)
    experiment = mlflow_registry.ensure_experiment(there.client, str(version.name))
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


def _named_objects(store: ObjectStore, content: JsonValue) -> Iterator[ObjectRef]:
    """
    Yield every object that *content* names by key and digest, each after those that it names.

    JSON objects are read and searched in turn, so that no level has to be listed here.
    """
    if isinstance(content, list):
        for one in content:
            yield from _named_objects(store, one)
    elif isinstance(content, dict) and set(content) == set(ObjectRef.model_fields):
        ref = _checked(store, content)
        if ref.key.endswith(".json"):
            data = read_object(store, ref)
            named = parse_object(data, key=ref.key, uri=store.uri, expected="record")
            yield from _named_objects(store, named)
        yield ref
    elif isinstance(content, dict):
        for one in content.values():
            yield from _named_objects(store, one)


def _checked(store: ObjectStore, content: dict[str, JsonValue]) -> ObjectRef:
    try:
        return ObjectRef.model_validate(content)
    except ValidationError as error:
        raise ArtifactError(
            f"A record in {store.uri} names an object as {content!r:.200}, expected key, sha256 "
            "and size. Nothing was copied. Restore the record from a backup."
        ) from error


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
    sha256 = sha256_of((found / ARTIFACT).read_bytes())
    expected = mlflow_registry.tag(version, mlflow_registry.TAG_SHA256)
    if sha256 != expected:
        raise ArtifactError(
            f"The artifact of version {version.version} in {here.name} has sha256 {sha256[:12]}, "
            f"expected {expected[:12]}. It was not copied. Restore it from a backup."
        )
    return found
