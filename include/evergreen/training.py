"""
Fit one candidate and log it, once per key.

``fit_candidate`` is pure; ``train_candidate`` adds MLflow. Test days are never read here.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from joblib import parallel_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from evergreen import metrics, registry
from evergreen.artefacts import save_model
from evergreen.baselines import linear_baseline
from evergreen.engine import running_on
from evergreen.errors import ArtefactError, CandidateError
from evergreen.identity import code_digest, load_identity, spec_digest, version_key
from evergreen.metrics import Predictions, Truth
from evergreen.opponent import find_opponent
from evergreen.prediction import are_sound, classes_of, predict
from evergreen.preparation import load_training
from evergreen.receipts import CandidateReceipt, ExamplesReceipt, Params
from evergreen.search import Trial, search_parameters
from evergreen.spec import ModelSpec
from evergreen.spec.policy import BASELINE, Metric, Search
from evergreen.storage import ObjectStore, put_json_once

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

METRIC_PREFIX = "validation_"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """
    A pipeline fitted on all training days, and what it reached on the validation days before.

    ``validation`` is empty where nothing had to be ranked.
    ``trials`` are those of its search, best first; the first one's parameters are ``params``.
    """

    model: Pipeline
    params: Params
    validation: dict[Metric, float]
    trials: tuple[Trial, ...]


def build_candidate(spec: ModelSpec, candidate: str) -> Pipeline:
    """
    Return the unfitted pipeline of *candidate*, from the user's ``pipeline.py``.

    :raises CandidateError: If the module or function is missing, fails, or returns something else.
    """
    if candidate == BASELINE:
        return linear_baseline(spec.examples, seed=spec.seed)
    name = spec.candidates[candidate].function or candidate
    where = f"include/models/{spec.model}/pipeline.py"
    try:
        module = importlib.import_module(f"models.{spec.model}.pipeline")
        found = getattr(module, name)(spec.examples, seed=spec.seed)
    except Exception as error:
        defined = ""
        if isinstance(error, AttributeError):
            functions = inspect.getmembers(module, inspect.isfunction)
            defined = f" It defines {', '.join(n for n, _ in functions) or 'no function'}."
        raise CandidateError(
            f"{where}: building candidate {candidate!r} with {name}(examples, seed=...) gave "
            f"{type(error).__name__}: {error}.{defined} Expected a scikit-learn Pipeline."
        ) from error
    if not isinstance(found, Pipeline):
        raise CandidateError(
            f"{where}: {name} returned a {type(found).__name__}, expected a scikit-learn Pipeline."
        )
    return found


def fit_candidate(
    pipeline: Pipeline,
    *,
    rows: pd.DataFrame,
    fit_rows: int,
    spec: ModelSpec,
    is_ranked: bool,
    search: Search | None = None,
    params: Params | None = None,
) -> Fitted:
    """
    Choose parameters within the fit days, measure them on the validation days, then fit on both.

    :param rows: Labelled examples of all training days, shape ``(rows, columns)``, oldest first.
    :param fit_rows: How many of them are fit days; the others are validation days.
    :param is_ranked: Whether there is a rival; without one the fit that measures is left out.
    :param search: What to search; None searches nothing.
    :param params: Without a search, the parameters to use; with one, those to try first.
    :raises CandidateError: If fitting fails or a prediction is not a finite number.
    """
    older, newer = rows.iloc[:fit_rows], rows.iloc[fit_rows:]
    given, trials = params or {}, list[Trial]()
    if search is not None:
        trials = search_parameters(pipeline, rows=older, spec=spec, search=search, start=given)
        given = trials[0].params
    measured: dict[Metric, float] = {}
    if is_ranked:
        measured = _measure(_fit(pipeline, given, rows=older, spec=spec), newer, spec=spec)
    model = _fit(pipeline, given, rows=rows, spec=spec)
    if not is_ranked:
        _predictions(model, newer, spec=spec)
    return Fitted(model=model, params=given, validation=measured, trials=tuple(trials))


def _fit(pipeline: Pipeline, params: Params, *, rows: pd.DataFrame, spec: ModelSpec) -> Pipeline:
    try:
        model = clone(pipeline).set_params(**params)
        return model.fit(rows[list(spec.examples.features)], rows[spec.examples.label])
    except ValueError as error:
        raise CandidateError(
            f"Fitting with {params or 'default parameters'} on {len(rows)} rows failed: "
            f"{error}. Nothing was logged. Change pipeline.py, or the search in model.yaml."
        ) from error


def _measure(model: Pipeline, rows: pd.DataFrame, *, spec: ModelSpec) -> dict[Metric, float]:
    truth = Truth.of(rows, spec=spec.examples, classes=classes_of(model, rows, spec=spec.examples))
    return metrics.measure(truth, _predictions(model, rows, spec=spec))


def _predictions(model: Pipeline, rows: pd.DataFrame, *, spec: ModelSpec) -> Predictions:
    classes = classes_of(model, rows, spec=spec.examples)
    # A forest adds up its trees in the order in which threads end: one at a time, the sum is one.
    with parallel_config(backend="sequential"):
        said = predict(model, rows, spec=spec.examples, classes=classes)
    if not are_sound(said, spec=spec.examples):
        raise CandidateError(
            f"Some of {len(rows)} predictions for the validation days are not finite, or no "
            "probability. Nothing was logged. Check what the pipeline does with missing values."
        )
    return said


def fit_for(
    store: ObjectStore,
    spec: ModelSpec,
    *,
    candidate: str,
    examples: ExamplesReceipt,
    search: Search | None,
    params: Params | None,
) -> tuple[Fitted, pd.DataFrame]:
    """
    Return *candidate* fitted on the training days of *examples*, and their rows.

    :param search: As in :func:`fit_candidate`, and so are *params*.
    """
    frame, fit_rows = load_training(store, spec, receipt=examples, candidate=candidate)
    fitted = fit_candidate(
        build_candidate(spec, candidate),
        rows=frame,
        fit_rows=fit_rows,
        spec=spec,
        is_ranked=spec.is_ranked(candidate),
        search=search,
        params=params,
    )
    return fitted, frame


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
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
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
    """
    key = candidate_key(spec, candidate=candidate, examples=examples)
    experiment = registry.ensure_experiment(client, spec.model)
    place = f"candidates/{spec.model}/{key}.json"
    earlier = registry.runs_of(client, experiment, key)
    active = {run.info.run_id for run in earlier}
    if store.head(place) is not None:
        kept = CandidateReceipt.model_validate_json(store.get(place))
        if kept.run_id in active:
            log.info("run %s did this work before; it is used again", kept.run_id)
            _remove_others(client, earlier, keep=kept.run_id)
            return kept
        log.warning("run %s did this work but was deleted; it is done again", kept.run_id)
        store.delete(place)
    finished = [run for run in earlier if registry.is_whole(run)]
    run = finished[0] if finished else None
    if run is None:
        with running_on(engine):
            run = _fit_and_log(
                store, client, spec, candidate, examples, experiment, key, earlier, tags
            )
    receipt = _receipt(run, spec, candidate, examples)
    # Of several that raced, the first to write this object is the one everybody uses.
    kept = CandidateReceipt.model_validate(
        put_json_once(store, place, receipt.model_dump(mode="json"))
    )
    _remove_others(client, registry.runs_of(client, experiment, key), keep=kept.run_id)
    return kept


def _fit_and_log(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    candidate: str,
    examples: ExamplesReceipt,
    experiment: str,
    key: str,
    earlier: list[Run],
    tags: dict[str, str],
) -> Run:
    """Do the work in a new run, or in the one that an attempt before left unfinished."""
    search = spec.candidates[candidate].search if candidate != BASELINE else None
    start = _champion_params(store, client, spec, candidate, examples) if search else None
    fitted, frame = fit_for(
        store, spec, candidate=candidate, examples=examples, search=search, params=start
    )
    if earlier:
        registry.remove_children(client, earlier[0])
    run = (
        earlier[0]
        if earlier
        else client.create_run(
            experiment,
            run_name=f"{candidate} {examples.as_of:%Y-%m-%d}",
            tags={
                registry.TAG_KEY: key,
                registry.TAG_CANDIDATE: candidate,
                registry.TAG_AS_OF: examples.as_of.isoformat(),
                **tags,
            },
        )
    )
    _log_run(client, run, fitted, frame=frame, spec=spec, examples=examples)
    return client.get_run(run.info.run_id)


def _champion_params(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    candidate: str,
    examples: ExamplesReceipt,
) -> Params:
    """Return what the version to beat was fitted with, if it was this candidate."""
    champion = find_opponent(store, client, spec, as_of=examples.as_of)
    if champion is None:
        return {}
    try:
        made = load_identity(store, champion).challenger
    except ArtefactError as error:
        log.warning("The search begins without the champion's parameters. %s", error)
        return {}
    return made.params if made.candidate == candidate else {}


def _remove_others(client: MlflowClient, runs: list[Run], *, keep: str) -> None:
    """Remove finished runs of the same work; whoever still works on one removes it afterwards."""
    for run in runs:
        if run.info.run_id != keep and run.info.status != "RUNNING":
            log.info("run %s did the same work as %s and is removed", run.info.run_id, keep)
            registry.remove_run(client, run.info.run_id)


def _log_run(
    client: MlflowClient,
    run: Run,
    fitted: Fitted,
    *,
    frame: pd.DataFrame,
    spec: ModelSpec,
    examples: ExamplesReceipt,
) -> None:
    """Log numbers and trials, then the artefact, then the tags that make the run whole; end it."""
    from mlflow.entities import Metric, Param

    run_id = run.info.run_id
    params = {k: str(v)[:500] for k, v in fitted.params.items()}
    known = examples.labelled["fit"] + examples.labelled["validation"]
    params |= {
        "train_rows": str(len(frame)),
        "train_rows_known": str(known),
        "examples_digest": examples.digest,
    }
    client.log_batch(
        run_id,
        metrics=[Metric(METRIC_PREFIX + k, v, 0, 0) for k, v in fitted.validation.items()],
        params=[Param(k, v) for k, v in params.items()],
    )
    for number, trial in enumerate(fitted.trials, start=1):
        _log_trial(client, run, trial, rank=number, metric=spec.metric)
    example = frame[list(spec.examples.features)].head(5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        sha256, size = save_model(fitted.model, path, example=example, spec=spec)
        made = {
            registry.TAG_BYTES: str(size),
            registry.TAG_SHA256: sha256,
            registry.TAG_PARAMS: json.dumps(fitted.params),
            registry.TAG_TRIALS: str(len(fitted.trials)),
        }
        name = run.data.tags[registry.TAG_CANDIDATE]
        registry.log_model_folder(client, run, path, name=name, tags=made)


def _log_trial(client: MlflowClient, run: Run, trial: Trial, *, rank: int, metric: str) -> None:
    """Show one trial of the search as a child run, named by its rank."""
    from mlflow.entities import Metric, Param, RunTag

    child = client.create_run(
        run.info.experiment_id,
        run_name=f"{run.data.tags[registry.TAG_CANDIDATE]} trial, rank {rank}",
        tags={registry.TAG_PARENT: run.info.run_id},
    )
    measured = [Metric(f"fold_{metric}", value, 0, n) for n, value in enumerate(trial.folds)]
    if trial.fault is None:
        measured += [
            Metric(f"mean_{metric}", trial.mean, 0, 0),
            Metric("seconds", trial.seconds, 0, 0),
        ]
    client.log_batch(
        child.info.run_id,
        metrics=measured,
        params=[Param(name, str(value)[:500]) for name, value in trial.params.items()],
        tags=[RunTag("evergreen.fault", trial.fault[:5000])] if trial.fault else [],
    )
    client.set_terminated(child.info.run_id, "FAILED" if trial.fault else "FINISHED")


def _receipt(
    run: Run, spec: ModelSpec, candidate: str, examples: ExamplesReceipt
) -> CandidateReceipt:
    tags = run.data.tags
    return CandidateReceipt(
        model=spec.model,
        as_of=examples.as_of,
        candidate=candidate,
        key=tags[registry.TAG_KEY],
        run_id=run.info.run_id,
        model_id=tags[registry.TAG_MODEL_ID],
        artefact_sha256=tags[registry.TAG_SHA256],
        artefact_bytes=int(tags[registry.TAG_BYTES]),
        params=json.loads(tags[registry.TAG_PARAMS]),
        trials=int(tags[registry.TAG_TRIALS]),
        validation={
            k.removeprefix(METRIC_PREFIX): v
            for k, v in run.data.metrics.items()
            if k.startswith(METRIC_PREFIX)
        },
    )
