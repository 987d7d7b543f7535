"""
Make a registered version again from its recorded data, and say what differs.

Nothing is written to MLflow: the model is fitted, compared and thrown away. That the result is the
same is kept in the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.data.personal_data import example_rows
from evergreen.data.preparation import load_examples, prepare_window
from evergreen.data.validation import validate_window
from evergreen.data.window import training_window
from evergreen.digests import code_digest, installed_versions
from evergreen.errors import DataContractError, ReproductionError
from evergreen.modeling.artifacts import save_model
from evergreen.modeling.candidates import fit_for
from evergreen.modeling.model_scores import score_model
from evergreen.receipts.common import Check, Status
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.operations import ReproductionReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import load_identity, spec_then
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document_once
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

#: Libraries whose version can change a fitted model.
NUMERIC = ("python", "scikit-learn", "numpy", "scipy", "pandas", "skops")


def reproduce_version(workspace: Workspace, *, version: str) -> ReproductionReceipt:
    """
    Fit *version* again from the examples it was fitted on, and compare.

    What is compared: the model's bytes, its metrics on validation and test days, the code, the
    libraries, and the examples that today's raw data would give for the same ``as_of``.

    :raises ReproductionError: If there is no such version.
    :raises ArtifactError: If the record of what made it is gone or cannot be read any more.
    """
    registered = _registered(workspace.client, workspace.spec.model, version)
    identity = load_identity(workspace.store, registered)
    checks = (
        *_model_checks(workspace.store, registered, identity),
        _raw_data(workspace.store, spec_then(identity), identity),
        _equal(
            "code, digest",
            code_digest(workspace.spec.model),
            identity.code_digest,
            otherwise="unknown",
        ),
        *_libraries(identity),
    )
    receipt = ReproductionReceipt(
        model=workspace.spec.model,
        as_of=identity.as_of,
        version=version,
        is_identical=all(check.status != "failed" for check in checks),
        checks=checks,
    )
    if receipt.is_identical:
        key = layout.reproduction_record(workspace.spec.model, identity.key)
        put_document_once(workspace.store, key, receipt)
    return receipt


def _model_checks(
    store: ObjectStore, version: ModelVersion, identity: VersionIdentity
) -> Iterator[Check]:
    """Fit the version again, and compare its bytes and its metrics."""
    then, made = spec_then(identity), identity.challenger
    fitted, train = fit_for(
        store,
        then,
        candidate=made.candidate,
        examples=identity.examples,
        search=None,
        params=made.params,
    )
    test = load_examples(store, then, receipt=identity.examples, segments=("test",))
    record = mlflow_registry.tag(version, mlflow_registry.TAG_EVALUATION)
    evaluation = load_document(store, record, EvaluationReceipt)
    yield _equal("model, sha256", _sha256(fitted.model, train, then), made.artifact_sha256)
    yield from _metrics("validation", dict(fitted.validation), made.validation)
    yield from _metrics(
        "test",
        dict(score_model(fitted.model, rows=test, spec=then).metrics),
        {k: v for k, v in evaluation.metrics["challenger"].items() if v is not None},
    )


def _registered(client: MlflowClient, model: str, version: str) -> ModelVersion:
    found = mlflow_registry.find_version(client, model, version)
    if found is None:
        known = [str(v.version) for v in mlflow_registry.all_versions(client, model)]
        newest = ", ".join(known[:-11:-1]) or "none"
        raise ReproductionError(f"{model} has no version {version}. Newest versions: {newest}.")
    return found


def _sha256(model: Pipeline, rows: Any, spec: ModelSpec) -> str:
    example = example_rows(rows, spec)
    with tempfile.TemporaryDirectory() as folder:
        return save_model(model, Path(folder) / "model", example=example, spec=spec)[0]


def _metrics(of: str, now: dict[Any, float], then: dict[str, float]) -> Iterator[Check]:
    for name, value in then.items():
        yield _equal(f"{of} {name}", f"{now[name]:.6f}", f"{value:.6f}")


def _raw_data(store: ObjectStore, spec: ModelSpec, identity: VersionIdentity) -> Check:
    """Say whether today's raw data would give the same examples; corrected days are no error."""
    name = "examples from today's raw data"
    window = training_window(identity.as_of, spec.window)
    try:
        validation = validate_window(store, spec, as_of=identity.as_of, days=window.days)
        again = prepare_window(store, spec, window=window, validation=validation)
    except DataContractError as error:
        found = str(error).splitlines()[0]
        return Check(name=name, status="unknown", measured=found, required=identity.examples.digest)
    return _equal(name, again.digest, identity.examples.digest, otherwise="unknown")


def _libraries(identity: VersionIdentity) -> Iterator[Check]:
    now = installed_versions()
    for name in NUMERIC:
        yield _equal(
            name, now.get(name, "none"), identity.environment.get(name, "none"), otherwise="unknown"
        )


def _equal(name: str, now: str, then: str, *, otherwise: Status = "failed") -> Check:
    return Check(
        name=name, status="passed" if now == then else otherwise, measured=now, required=then
    )
