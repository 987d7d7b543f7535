"""
Fitted pipelines on disk and in MLflow, loaded only by digest and only with reviewed types.

MLflow's own ``load_model`` is never used: it takes the list of trusted types from the artifact it
is about to load (FACTS, "MLflow").
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.modeling.canonical_skops import canonical_skops
from evergreen.registry import mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.spec.data import Examples
from evergreen.storage.base import sha256_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

ARTIFACT = "model.skops"
EXAMPLE = "input_example.json"
EXPECTED = "example_predictions.json"

#: Types skops does not trust by itself and we do. Reviewed: each only holds arrays or parameters,
#: and its constructor and ``__setstate__`` run no code from the file.
TRUSTED_TYPES = (
    "numpy.dtype",
    "scipy.sparse._csr.csr_matrix",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)


def save_model(
    model: Pipeline, folder: Path, *, example: pd.DataFrame, spec: ModelSpec
) -> tuple[str, int]:
    """
    Write *model* as an MLflow model with signature, example, and what it predicts for the example.

    :param example: A few rows of model inputs, kept with the model.
    :return: SHA-256 and size in bytes of the artifact.
    :raises ArtifactError: If the model holds a type that was not reviewed.
    """
    import mlflow.sklearn
    import skops.io
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature

    from evergreen.modeling.prediction import predict

    allowed = [*TRUSTED_TYPES, *spec.trusted_types]
    is_number = spec.examples.problem == "regression"
    predictions = predict(model, example, spec=spec.examples)
    try:
        mlflow.sklearn.save_model(
            model,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=allowed,
            signature=infer_signature(example, predictions),
            input_example=example,
            pip_requirements=_requirements(),  # inference would import all again, in seconds
            pyfunc_predict_fn="predict" if is_number else "predict_proba",
        )
    except MlflowException as error:
        if unknown := _untrusted(skops.io.dumps(model), allowed=allowed):
            raise ArtifactError(_explain_untrusted(unknown)) from error
        raise
    (folder / EXPECTED).write_text(json.dumps(predictions.tolist()))
    data = canonical_skops((folder / ARTIFACT).read_bytes())
    (folder / ARTIFACT).write_bytes(data)
    return sha256_of(data), len(data)


def require_reviewed_types(model: Pipeline, *, spec: ModelSpec) -> None:
    """
    Refuse a fitted pipeline that could not be stored.

    :raises ArtifactError: If it holds a type that was not reviewed.
    """
    import skops.io

    unknown = _untrusted(skops.io.dumps(model), allowed=[*TRUSTED_TYPES, *spec.trusted_types])
    if unknown:
        raise ArtifactError(_explain_untrusted(unknown))


def load_model(
    client: MlflowClient, model_id: str, *, sha256: str, trusted: tuple[str, ...]
) -> Pipeline:
    """
    Return the fitted pipeline behind MLflow's logged model *model_id*.

    :raises ArtifactError: If its bytes differ from *sha256*, or hold a type that was not reviewed.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = download(client, model_id, ARTIFACT, folder=Path(folder)).read_bytes()
    return load_artifact(data, name=model_id, sha256=sha256, trusted=trusted)


def load_version(
    client: MlflowClient, spec: ModelSpec, version: ModelVersion, *, sha256: str
) -> Pipeline:
    """
    Return the fitted pipeline of a registered *version*.

    :raises ArtifactError: As :func:`load_model` does; it names the release of scikit-learn that
        made the version, if that is not the one here.
    """
    model_id = mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID)
    try:
        return load_model(client, model_id, sha256=sha256, trusted=spec.trusted_types)
    except ArtifactError as error:
        raise ArtifactError(f"{error}{_explain_libraries(version.tags)}") from error


def _explain_libraries(tags: Mapping[str, str]) -> str:
    """Return a sentence about the library that made a version, if it is not the one here."""
    from importlib.metadata import version

    made, here = tags.get(mlflow_registry.TAG_SCIKIT_LEARN), version("scikit-learn")
    if made in (None, here):
        return ""
    return (
        f" It was made with scikit-learn {made}, and here is {here}: a model is only sure to load "
        "in the release that made it. Retrain with this release, or install the other one."
    )


def load_artifact(data: bytes, *, name: str, sha256: str, trusted: tuple[str, ...]) -> Pipeline:
    """
    Return the fitted pipeline in *data*; only types on the allowed list are loaded.

    :raises ArtifactError: If *data* differs from *sha256*, or holds a type that was not reviewed.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    found = sha256_of(data)
    if found != sha256:
        raise ArtifactError(
            f"The artifact of model {name} was changed after it was registered: found sha256 "
            f"{found[:12]}, expected {sha256[:12]}. It was not loaded. Restore it from a "
            "backup, or roll back to another version."
        )
    allowed = [*TRUSTED_TYPES, *trusted]
    try:
        return skops.io.loads(data, trusted=allowed)
    except UntrustedTypesFoundException as error:
        unknown = _untrusted(data, allowed=allowed)
        raise ArtifactError(_explain_untrusted(unknown)) from error
    except Exception as error:
        raise ArtifactError(
            f"The artifact of model {name} cannot be loaded: {type(error).__name__}: {error}."
        ) from error


def read_example(path: Path, *, spec: Examples) -> pd.DataFrame:
    """
    Return the few rows of model inputs stored with a model, types as in training.

    :raises ArtifactError: If the file holds no such rows.
    """
    import pandas as pd

    types = dict.fromkeys(spec.numeric, "float64") | dict.fromkeys(spec.categorical, "str")
    try:
        split = json.loads(path.read_bytes())
        frame = pd.DataFrame(split["data"], columns=split["columns"])
        return frame.astype({name: kind for name, kind in types.items() if name in frame})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _no_example(path, error) from error


def read_expected(path: Path) -> np.ndarray:
    """
    Return what a model predicted for its example when it was trained.

    :raises ArtifactError: If the file holds no such numbers.
    """
    import numpy as np

    try:
        return np.asarray(json.loads(path.read_bytes()), dtype=float)
    except (ValueError, TypeError, RecursionError) as error:
        raise _no_example(path, error) from error


def _no_example(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{path.name} of the model cannot be read: {error!r:.300}. The model was not used. Restore "
        "the file from a backup, or roll back to another version."
    )


def download(client: MlflowClient, model_id: str, name: str, *, folder: Path) -> Path:
    """
    Bring the file *name* of a logged model into *folder*.

    :raises ArtifactError: If the model or the file is gone. An error of the network stays as it is.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    location = _location(client, model_id, name)
    try:
        found = Path(
            download_artifacts(
                artifact_uri=f"{location}/{name}",
                dst_path=str(folder),
                tracking_uri=client.tracking_uri,
            )
        )
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _gone(model_id, name) from error
    except MlflowException as error:
        if not _is_listed(client, location, name):
            raise _gone(model_id, name) from error
        raise
    if not found.is_file():
        raise _gone(model_id, name)
    return found


def _location(client: MlflowClient, model_id: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_logged_model(model_id).artifact_location)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise _gone(model_id, name) from error


def _is_listed(client: MlflowClient, location: str, name: str) -> bool:
    """Ask MLflow what there is: the error of a download does not tell absent from unreachable."""
    from mlflow.artifacts import list_artifacts

    found = list_artifacts(artifact_uri=location, tracking_uri=client.tracking_uri)
    return any(PurePosixPath(file.path).name == name for file in found)


def _gone(model_id: str, name: str) -> ArtifactError:
    return ArtifactError(
        f"{name} of model {model_id} is gone from MLflow. It was not loaded. Restore it from a "
        "backup, or roll back to another version."
    )


def _untrusted(data: bytes, *, allowed: list[str]) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(allowed))


def _explain_untrusted(unknown: list[str]) -> str:
    return (
        f"The model holds types that are not on the list of reviewed ones: {', '.join(unknown)}. "
        "It was neither stored nor loaded. Read their code; if building one runs nothing from the "
        "file, name them under trusted_types in model.yaml."
    )


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("scikit-learn", "pandas", "numpy", "skops")]
