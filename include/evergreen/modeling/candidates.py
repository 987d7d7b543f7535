"""Build one candidate of a spec, fit it and measure it."""

from __future__ import annotations

import inspect
import math
import time
from dataclasses import dataclass

import pandas as pd
from joblib import parallel_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from evergreen.data.preparation import load_training
from evergreen.errors import CandidateError
from evergreen.model_code import load_model_code
from evergreen.modeling import metrics
from evergreen.modeling.baselines import linear_baseline
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.prediction import are_sound, classes_of, predict
from evergreen.modeling.reviewed_types import check_types_early
from evergreen.modeling.search import Trial, search_parameters
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import Params
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.spec.modeling import BASELINE, Search
from evergreen.storage.base import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """
    A pipeline fitted on all training days, and what it reached on the validation days before.

    ``validation`` is empty where nothing had to be ranked, or all labels were alike.
    ``trials`` are those of its search, best first; the first one's parameters are ``params``.
    ``seconds`` is the time of the last fit, on all rows.
    """

    model: Pipeline
    params: Params
    validation: dict[Metric, float]
    trials: tuple[Trial, ...]
    seconds: float = 0.0


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
        module = load_model_code(spec.model, "pipeline")
        found = getattr(module, name)(spec.examples, seed=spec.seed)
    except CandidateError:
        raise
    except (Exception, SystemExit) as error:
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

    No row is fitted on for the measurement whose label became known after the validation days
    began.

    :param rows: Labelled examples of all training days, shape ``(rows, columns)``, oldest first.
    :param fit_rows: How many of them are fit days; the others are validation days.
    :param is_ranked: Whether there is a rival; without one the fit that measures is left out.
    :param search: What to search; None searches nothing.
    :param params: Without a search, the parameters to use; with one, those to try first.
    :raises CandidateError: If fitting fails or a prediction is not a finite number.
    """
    older, newer = rows.iloc[:fit_rows], rows.iloc[fit_rows:]
    if len(newer):
        begins = newer[spec.examples.event_time].min().floor("D")
        older = older[older[spec.examples.known_at] <= begins]
    given, trials = params or {}, list[Trial]()
    if search is not None:
        trials = search_parameters(pipeline, rows=older, spec=spec, search=search, start=given)
        given = trials[0].params
    measured: dict[Metric, float] = {}
    if is_ranked:
        measured = _measure(_fit(pipeline, given, rows=older, spec=spec), newer, spec=spec)
    started = time.perf_counter()
    model = _fit(pipeline, given, rows=rows, spec=spec)
    seconds = time.perf_counter() - started
    if not is_ranked:
        _predictions(model, newer, spec=spec)
    return Fitted(
        model=model, params=given, validation=measured, trials=tuple(trials), seconds=seconds
    )


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
    truth = Labels.of(rows, spec=spec.examples, classes=classes_of(model, rows, spec=spec.examples))
    found = metrics.measure(truth, _predictions(model, rows, spec=spec))
    return {metric: value for metric, value in found.items() if math.isfinite(value)}


def _predictions(model: Pipeline, rows: pd.DataFrame, *, spec: ModelSpec) -> Predictions:
    classes = classes_of(model, rows, spec=spec.examples)
    # A forest adds up its trees in the order in which threads end: one at a time, the sum is one.
    with parallel_config(backend="sequential"):
        predicted = predict(model, rows, spec=spec.examples, classes=classes)
    if not are_sound(predicted, spec=spec.examples):
        raise CandidateError(
            f"Some of {len(rows)} predictions for the validation days are not finite, or no "
            "probability. Nothing was logged. Check what the pipeline does with missing values."
        )
    return predicted


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
    :raises ArtifactError: If it would hold a type that was not reviewed; found before the fit.
    """
    frame, fit_rows = load_training(store, spec, receipt=examples, candidate=candidate)
    pipeline = build_candidate(spec, candidate)
    check_types_early(pipeline, rows=frame, spec=spec)
    fitted = fit_candidate(
        pipeline,
        rows=frame,
        fit_rows=fit_rows,
        spec=spec,
        is_ranked=spec.is_ranked(candidate),
        search=search,
        params=params,
    )
    return fitted, frame
