"""
MLflow as Evergreen uses it: every question with an explicit client, no global state.

Names of tags are here and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

CHAMPION = "champion"

log = logging.getLogger(__name__)

TAG_KEY = "evergreen.key"
TAG_AS_OF = "evergreen.as_of"
TAG_CANDIDATE = "evergreen.candidate"
TAG_SHA256 = "evergreen.artifact_sha256"
TAG_PASSED = "evergreen.gates"
TAG_EVALUATION = "evergreen.evaluation"
TAG_EVALUATION_DIGEST = "evergreen.evaluation_digest"
TAG_MODEL_ID = "evergreen.model_id"
TAG_BYTES = "evergreen.artifact_bytes"
TAG_PARAMS = "evergreen.params"
TAG_TRIALS = "evergreen.trials"
TAG_EVIDENCE = "evergreen.evidence"
TAG_FIT_MS = "evergreen.fit_ms_per_row"
TAG_PREDICT_MS = "evergreen.predict_ms_per_row"
TAG_CALL_MS = "evergreen.predict_ms_per_call"
TAG_SCIKIT_LEARN = "evergreen.scikit_learn"
#: MLflow's own: which run a child run belongs to.
TAG_PARENT = "mlflow.parentRunId"

#: How often the alias is set before a refusal is believed.
SET_ATTEMPTS = 5

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def ensure_experiment(
    client: MlflowClient, name: str, *, tags: dict[str, str] | None = None
) -> str:
    """
    Return the id of experiment *name*, created or restored if needed.

    Several processes may ask at once.

    :param tags: Given to a new one. MLflow fails if two set the same new tag at once, so those that
        several will set are better there from the start.
    """
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        if found.lifecycle_stage == "deleted":
            log.warning(
                "Experiment %s was deleted in MLflow and is restored: its runs made versions.", name
            )
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, tags=tags))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return str(client.get_experiment_by_name(name).experiment_id)  # type: ignore[union-attr]


def ensure_registered_model(client: MlflowClient, name: str, *, description: str) -> None:
    """Create the registered model *name* unless it exists."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def runs_of(client: MlflowClient, experiment_id: str, key: str) -> list[Run]:
    """Return every run that was started for *key*, oldest first, whatever became of it."""
    found = client.search_runs([experiment_id], f"tags.`{TAG_KEY}` = '{key}'")
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))


def running_since(client: MlflowClient, model: str, *, before: datetime) -> list[str]:
    """Return the ids of the model's runs that began *before* and never ended."""
    experiment = client.get_experiment_by_name(model)
    if experiment is None:
        return []
    milliseconds = int(before.timestamp() * 1000)
    condition = f"attributes.status = 'RUNNING' and attributes.start_time < {milliseconds}"
    found = client.search_runs([experiment.experiment_id], condition)
    return [str(run.info.run_id) for run in found]


def end_failed(client: MlflowClient, run_id: str) -> None:
    """End a run as FAILED; an error of that is logged, because another is on its way already."""
    try:
        client.set_terminated(run_id, "FAILED")
    except Exception:
        log.exception("run %s could not be ended; housekeeping removes it after a day", run_id)


def is_whole(run: Run) -> bool:
    """Return whether *run* ended with a model in it."""
    return run.info.status == "FINISHED" and TAG_MODEL_ID in run.data.tags


def log_model_folder(
    client: MlflowClient, run: Run, folder: Path, *, name: str, tags: dict[str, str]
) -> None:
    """Log the saved model in *folder*, then *tags* and the one that makes the run whole; end it."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, RunTag

    run_id = run.info.run_id
    logged = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    made = tags | {TAG_MODEL_ID: logged.model_id}
    # In one call, so that two attempts cannot leave a model of one with the digest of the other.
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in made.items()])
    client.set_terminated(run_id)


def remove_children(client: MlflowClient, run: Run) -> None:
    """Delete every run that belongs to *run*, such as the trials of its search."""
    condition = f"tags.`{TAG_PARENT}` = '{run.info.run_id}'"
    while found := client.search_runs([run.info.experiment_id], condition, max_results=100):
        for child in found:
            client.delete_run(child.info.run_id)


def remove_run(client: MlflowClient, run_id: str) -> None:
    """Delete a run, its children and the models it logged; one that is gone is no error."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
        remove_children(client, run)
        if model_id := run.data.tags.get(TAG_MODEL_ID):
            client.delete_logged_model(model_id)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    try:
        client.delete_run(run_id)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise


def all_versions(client: MlflowClient, model: str) -> list[ModelVersion]:
    """Return every version of *model*, page by page, lowest first; aliases are not filled in."""
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{model}'", max_results=1000, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def aliases_of(client: MlflowClient, model: str) -> dict[str, str]:
    """Return the version each alias of *model* is at; empty if there is no such model."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return {}
    return {alias: str(version) for alias, version in found.items()}


def versions_of(client: MlflowClient, model: str, key: str) -> list[ModelVersion]:
    """Return every version registered under *key*, lowest first."""
    found = client.search_model_versions(f"name = '{model}' and tags.`{TAG_KEY}` = '{key}'")
    return sorted(found, key=lambda version: int(version.version))


def find_version(client: MlflowClient, model: str, version: str) -> ModelVersion | None:
    """Return *version* of *model*, or None if there is no such version."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model, version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def champion_of(client: MlflowClient, model: str) -> ModelVersion | None:
    """Return the version that serves, or None before the first promotion."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model, CHAMPION)
    except MlflowException as error:
        # The server answers RESOURCE_DOES_NOT_EXIST for an unknown model and
        # INVALID_PARAMETER_VALUE for a known one without the alias.
        if error.error_code not in _ABSENT:
            raise
        return None


def set_champion(client: MlflowClient, model: str, version: str) -> None:
    """Put the alias at *version*; several processes may do so at once."""
    _set(lambda: client.set_registered_model_alias(model, CHAMPION, version))


def set_tag(client: MlflowClient, version: ModelVersion, name: str, value: str) -> None:
    """Put a tag on *version*; several processes may do so at once."""
    _set(lambda: client.set_model_version_tag(version.name, version.version, name, value))


def _set(write: Callable[[], None]) -> None:
    """Write; of two that set the same for the first time MLflow refuses one, which tries again."""
    from mlflow.exceptions import MlflowException

    for attempt in range(SET_ATTEMPTS):
        try:
            write()
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST" or attempt == SET_ATTEMPTS - 1:
                raise
        else:
            return


def as_of_of(version: ModelVersion) -> datetime:
    """
    Return the instant up to which *version* knows the world.

    :raises ArtifactError: If it was not registered by Evergreen, or the tag was changed since.
    """
    text = tag(version, TAG_AS_OF)
    found: datetime | None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ArtifactError(
            f"The tag {TAG_AS_OF} of {version.name} version {version.version} is {text!r:.99}, "
            "expected an instant with a time zone. The version was not used. Set the tag in MLflow "
            "to the as_of in its description."
        )
    return found


def tag(version: ModelVersion, name: str) -> str:
    """
    Return the value of one of our tags.

    :raises ArtifactError: If the version has none: it was not registered by Evergreen.
    """
    if name not in version.tags:
        raise ArtifactError(
            f"{version.name} version {version.version} has no tag {name!r}: it was not registered "
            "by Evergreen, so neither its gates nor its artifact can be trusted. It was not used. "
            "Move the champion alias back to a version that retrain registered."
        )
    return str(version.tags[name])
