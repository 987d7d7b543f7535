"""
Fit one candidate and log it, once per key.

``fit_candidate`` is pure; ``train_candidate`` adds MLflow. Test days are never read here.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from evergreen.data.personal_data import example_rows
from evergreen.digests import code_digest, spec_digest, version_key
from evergreen.errors import ArtifactError, CandidateError
from evergreen.modeling.artifacts import save_model
from evergreen.modeling.candidates import Fitted, fit_for
from evergreen.modeling.dask_backend import running_on
from evergreen.modeling.search import Trial
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import CandidateReceipt, Params
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import find_version_to_beat
from evergreen.registry.version_record import load_identity
from evergreen.spec import ModelSpec
from evergreen.spec.modeling import BASELINE
from evergreen.storage import layout
from evergreen.storage.records import find_document, put_document_once
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


log = logging.getLogger(__name__)

METRIC_PREFIX = "validation_"
#: Name of the metric that holds the seconds of the last fit, and of the parameter with its rows.
FIT_SECONDS, TRAIN_ROWS = "fit_seconds", "train_rows"


def candidate_key(spec: ModelSpec, *, candidate: str, examples: ExamplesReceipt) -> str:
    """Return the key of this piece of work: equal inputs give an equal key, whoever asks, when."""
    return version_key(
        spec.model,
        examples.digest,
        code_digest(spec.model),
        spec_digest(spec),
        candidate,
        as_of=examples.as_of,
    )


def train_candidate(
    workspace: Workspace,
    *,
    candidate: str,
    examples: ExamplesReceipt,
    tags: dict[str, str],
    engine: str | None = None,
) -> CandidateReceipt:
    """
    Fit *candidate* and log it to MLflow, unless this very work is there already.

    Safe to repeat, to interrupt and to run twice at once: a finished run of the same key is taken
    as it is, an unfinished one is continued, and of two that raced the first to finish stays.

    :param engine: Address of the Dask cluster that joblib's work goes to; None keeps it here.
    :raises CandidateError: If the spec has no such candidate.
    """
    _require_known(workspace.spec, candidate)
    key = candidate_key(workspace.spec, candidate=candidate, examples=examples)
    experiment = mlflow_registry.ensure_experiment(workspace.client, workspace.spec.model)
    record_key = layout.candidate_record(workspace.spec.model, key)
    earlier = mlflow_registry.runs_of(workspace.client, experiment, key)
    active = {run.info.run_id for run in earlier}
    stored = find_document(workspace.store, record_key, CandidateReceipt)
    if stored is not None:
        if stored.run_id in active:
            log.info("run %s did this work before; it is used again", stored.run_id)
            _remove_others(workspace.client, earlier, keep=stored.run_id)
            return stored
        log.warning("run %s did this work but was deleted; it is done again", stored.run_id)
        workspace.store.delete(record_key)
    finished = [run for run in earlier if mlflow_registry.is_whole(run)]
    run = finished[0] if finished else None
    if run is None:
        with running_on(engine):
            run = _fit_and_log(
                workspace,
                candidate=candidate,
                examples=examples,
                experiment=experiment,
                key=key,
                earlier=earlier,
                tags=tags,
            )
    receipt = _receipt(run, workspace.spec, candidate, examples)
    # Of several that raced, the first to write this object is the one everybody uses.
    stored = put_document_once(workspace.store, record_key, receipt)
    _remove_others(
        workspace.client,
        mlflow_registry.runs_of(workspace.client, experiment, key),
        keep=stored.run_id,
    )
    return stored


def _require_known(spec: ModelSpec, candidate: str) -> None:
    if candidate not in spec.candidate_names:
        raise CandidateError(
            f"found the candidate {candidate!r}, expected one of those in model.yaml: "
            f"{', '.join(spec.candidate_names)}. Nothing was fitted. It was removed since this run "
            "began: clear every train_candidate of the run, so that its tasks are made from the "
            "present spec."
        )


def _fit_and_log(
    workspace: Workspace,
    *,
    candidate: str,
    examples: ExamplesReceipt,
    experiment: str,
    key: str,
    earlier: list[Run],
    tags: dict[str, str],
) -> Run:
    """
    Do the work in a new run, or in the one that an attempt before left unfinished.

    An error ends the run as FAILED, and the next attempt continues it.
    """
    search = workspace.spec.candidates[candidate].search if candidate != BASELINE else None
    start = _champion_params(workspace, candidate, examples) if search else None
    fitted, frame = fit_for(
        workspace.store,
        workspace.spec,
        candidate=candidate,
        examples=examples,
        search=search,
        params=start,
    )
    with tempfile.TemporaryDirectory() as folder:
        # Before there is a run: a model that cannot be stored leaves nothing behind.
        saved = _saved(fitted, Path(folder) / "model", frame=frame, spec=workspace.spec)
        if earlier:
            mlflow_registry.remove_children(workspace.client, earlier[0])
        run = (
            earlier[0]
            if earlier
            else workspace.client.create_run(
                experiment,
                run_name=f"{candidate} {examples.as_of:%Y-%m-%d}",
                tags={
                    mlflow_registry.TAG_KEY: key,
                    mlflow_registry.TAG_CANDIDATE: candidate,
                    mlflow_registry.TAG_AS_OF: examples.as_of.isoformat(),
                    **tags,
                },
            )
        )
        try:
            _log_run(workspace, run, saved, rows=len(frame), examples=examples)
        except BaseException:
            mlflow_registry.end_failed(workspace.client, run.info.run_id)
            raise
    return workspace.client.get_run(run.info.run_id)


@dataclass(frozen=True, kw_only=True)
class _Saved:
    """A fitted candidate and its files, not in MLflow yet."""

    fitted: Fitted
    folder: Path
    sha256: str
    size: int


def _saved(fitted: Fitted, folder: Path, *, frame: pd.DataFrame, spec: ModelSpec) -> _Saved:
    """Write the model to *folder*."""
    example = example_rows(frame, spec)
    sha256, size = save_model(fitted.model, folder, example=example, spec=spec)
    return _Saved(fitted=fitted, folder=folder, sha256=sha256, size=size)


def _champion_params(
    workspace: Workspace,
    candidate: str,
    examples: ExamplesReceipt,
) -> Params:
    """Return what the version to beat was fitted with, if it was this candidate."""
    champion = find_version_to_beat(workspace, as_of=examples.as_of)
    if champion is None or champion.registered is None:
        return {}
    try:
        made = load_identity(workspace.store, champion.registered).challenger
    except ArtifactError as error:
        log.warning("The search begins without the champion's parameters. %s", error)
        return {}
    return made.params if made.candidate == candidate else {}


def _remove_others(client: MlflowClient, runs: list[Run], *, keep: str) -> None:
    """Remove finished runs of the same work; whoever still works on one removes it afterwards."""
    for run in runs:
        if run.info.run_id != keep and run.info.status != "RUNNING":
            log.info("run %s did the same work as %s and is removed", run.info.run_id, keep)
            mlflow_registry.remove_run(client, run.info.run_id)


def _log_run(
    workspace: Workspace, run: Run, saved: _Saved, *, rows: int, examples: ExamplesReceipt
) -> None:
    """Log numbers and trials, then the artifact, then the tags that make the run whole; end it."""
    from mlflow.entities import Metric, Param

    client, fitted, run_id = workspace.client, saved.fitted, run.info.run_id
    params = {k: str(v)[:500] for k, v in fitted.params.items()}
    known = examples.labelled["fit"] + examples.labelled["validation"]
    params |= {
        TRAIN_ROWS: str(rows),
        "train_rows_known": str(known),
        "examples_digest": examples.digest,
    }
    client.log_batch(
        run_id,
        metrics=[
            Metric(FIT_SECONDS, fitted.seconds, 0, 0),
            *(Metric(METRIC_PREFIX + k, v, 0, 0) for k, v in fitted.validation.items()),
        ],
        params=[Param(k, v) for k, v in params.items()],
    )
    for number, trial in enumerate(fitted.trials, start=1):
        _log_trial(client, run, trial, rank=number, metric=workspace.spec.metric)
    made = {
        mlflow_registry.TAG_BYTES: str(saved.size),
        mlflow_registry.TAG_SHA256: saved.sha256,
        mlflow_registry.TAG_PARAMS: json.dumps(fitted.params),
        mlflow_registry.TAG_TRIALS: str(len(fitted.trials)),
    }
    name = run.data.tags[mlflow_registry.TAG_CANDIDATE]
    mlflow_registry.log_model_folder(client, run, saved.folder, name=name, tags=made)


def _log_trial(client: MlflowClient, run: Run, trial: Trial, *, rank: int, metric: str) -> None:
    """Show one trial of the search as a child run, named by its rank."""
    from mlflow.entities import Metric, Param, RunTag

    child = client.create_run(
        run.info.experiment_id,
        run_name=f"{run.data.tags[mlflow_registry.TAG_CANDIDATE]} trial, rank {rank}",
        tags={mlflow_registry.TAG_PARENT: run.info.run_id},
    )
    measured = [Metric(f"fold_{metric}", value, 0, n) for n, value in enumerate(trial.folds)]
    if trial.error is None:
        measured += [
            Metric(f"mean_{metric}", trial.mean, 0, 0),
            Metric("seconds", trial.seconds, 0, 0),
        ]
    client.log_batch(
        child.info.run_id,
        metrics=measured,
        params=[Param(name, str(value)[:500]) for name, value in trial.params.items()],
        tags=[RunTag("evergreen.error", trial.error[:5000])] if trial.error else [],
    )
    client.set_terminated(child.info.run_id, "FAILED" if trial.error else "FINISHED")


def _receipt(
    run: Run, spec: ModelSpec, candidate: str, examples: ExamplesReceipt
) -> CandidateReceipt:
    tags, rows = run.data.tags, run.data.params.get(TRAIN_ROWS)
    return CandidateReceipt(
        model=spec.model,
        as_of=examples.as_of,
        candidate=candidate,
        key=tags[mlflow_registry.TAG_KEY],
        run_id=run.info.run_id,
        model_id=tags[mlflow_registry.TAG_MODEL_ID],
        artifact_sha256=tags[mlflow_registry.TAG_SHA256],
        artifact_bytes=int(tags[mlflow_registry.TAG_BYTES]),
        params=json.loads(tags[mlflow_registry.TAG_PARAMS]),
        trials=int(tags[mlflow_registry.TAG_TRIALS]),
        validation={
            k.removeprefix(METRIC_PREFIX): v
            for k, v in run.data.metrics.items()
            if k.startswith(METRIC_PREFIX)
        },
        fit_seconds=run.data.metrics.get(FIT_SECONDS),
        train_rows=None if rows is None else int(rows),
    )
