"""
Find parameters by cross-validation that never looks back, within a stated budget.

Each fold is fitted on whole days and measured on later ones, so that a trial is asked what the
model will be asked: tomorrow, from yesterday.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import Pipeline

from evergreen.errors import CandidateError
from evergreen.modeling import metrics
from evergreen.modeling.metrics import Labels
from evergreen.modeling.prediction import are_sound, classes_of, predict
from evergreen.receipts.modeling import Params
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.spec.modeling import Range, Search
from evergreen.values import Frozen

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

Fold = tuple[NDArray[np.bool_], NDArray[np.bool_]]


class Trial(Frozen):
    """One set of parameters and what the primary metric was on each fold; an error if it failed."""

    params: Params
    folds: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    @property
    def mean(self) -> float:
        """The primary metric, averaged over the folds that it was measured on."""
        return sum(self.folds) / len(self.folds) if self.folds else math.nan


def search_parameters(
    pipeline: Pipeline,
    *,
    rows: pd.DataFrame,
    spec: ModelSpec,
    search: Search,
    start: Params,
) -> list[Trial]:
    """
    Return the trials of a search, best first; those that failed come last.

    Optuna's tree-structured Parzen estimator proposes them (Akiba et al., "Optuna", KDD 2019), or
    all of a space that is no larger than the budget. Seeded by the newest day too, so that every
    night looks elsewhere around the champion's.

    :param rows: Labelled examples of the fit days, shape ``(rows, columns)``.
    :param start: Parameters to try first, such as the champion's; those outside the space are left
        to the search.
    :raises CandidateError: If no trial could be fitted, or the days do not suffice for the folds.
    """
    import optuna

    folds = list(time_ordered_folds(rows, spec=spec, folds=search.folds))
    trials: dict[str, Trial] = {}

    def objective(proposal: optuna.Trial) -> float:
        params = {name: _suggest(proposal, name, of) for name, of in search.space.items()}
        if str(params) not in trials:
            trial = _try(pipeline, params, rows=rows, folds=folds, spec=spec)
            trials[str(params)] = trial
            log.info(
                "trial %d of at most %d: %s -> %s",
                len(trials),
                search.trials,
                params,
                trial.error or f"{spec.metric} {trial.mean:.4f}",
            )
        trial = trials[str(params)]
        if trial.error is not None:
            raise optuna.TrialPruned
        return metrics.merit(spec.metric, trial.mean)

    newest = rows[spec.examples.event_time].max().toordinal()
    study = _study(search, start, seed=(spec.seed + newest) % 2**32)
    study.optimize(objective, n_trials=search.trials, timeout=60 * search.minutes)
    if len(study.trials) < search.trials and not isinstance(
        study.sampler, optuna.samplers.BruteForceSampler
    ):
        log.warning(
            "The search ended after %g minutes, with %d of %d trials.",
            search.minutes,
            len(study.trials),
            search.trials,
        )
    return _best_first(trials.values(), spec.metric)


def time_ordered_folds(rows: pd.DataFrame, *, spec: ModelSpec, folds: int) -> Iterator[Fold]:
    """
    Yield for each fold which rows are fitted on and which are measured on, as masks.

    Days are cut with the gap of the window, and no row is fitted on whose label became known after
    the measured days began.

    :raises CandidateError: If there are too few days.
    """
    days = rows[spec.examples.event_time].dt.floor("D")
    distinct = np.sort(days.unique())
    gap = spec.window.days_between
    try:
        splits = list(TimeSeriesSplit(n_splits=folds, gap=gap).split(distinct))
    except ValueError as error:
        raise CandidateError(
            f"{len(distinct)} fit days do not suffice for {folds} folds with {gap} days between: "
            f"{error} Nothing was fitted. Widen window.train_days, or search fewer folds."
        ) from error
    for before, after in splits:
        begins = distinct[after[0]]
        fitted = days.isin(distinct[before]) & (rows[spec.examples.known_at] <= begins)
        yield fitted.to_numpy(), days.isin(distinct[after]).to_numpy()


def _try(
    pipeline: Pipeline,
    params: Params,
    *,
    rows: pd.DataFrame,
    folds: list[Fold],
    spec: ModelSpec,
) -> Trial:
    started = time.perf_counter()
    inputs, found = list(spec.examples.features), []
    try:
        for fitted_on, measured_on in folds:
            fit, later = rows[fitted_on], rows[measured_on]
            model = clone(pipeline).set_params(**params)
            model.fit(fit[inputs], fit[spec.examples.label])
            classes = classes_of(model, later, spec=spec.examples)
            truth = Labels.of(later, spec=spec.examples, classes=classes)
            predicted = predict(model, later, spec=spec.examples, classes=classes)
            if not are_sound(predicted, spec=spec.examples):
                return Trial(params=params, error="its predictions are not all finite numbers.")
            if truth.is_measurable:
                found.append(metrics.value(truth, spec.metric, predicted))
    except ValueError as error:
        return Trial(params=params, error=f"{error}.")
    if not found:
        return Trial(params=params, error="in each fold, all labels measured on are the same.")
    return Trial(params=params, folds=tuple(found), seconds=round(time.perf_counter() - started, 3))


def _best_first(trials: Iterable[Trial], metric: Metric) -> list[Trial]:
    """Return *trials* by their merit; refuse them if all have failed."""
    found = sorted(
        trials,
        key=lambda t: -math.inf if t.error else metrics.merit(metric, t.mean),
        reverse=True,
    )
    if found[0].error is not None:
        raise CandidateError(
            f"None of {len(found)} trials could be fitted. The first: {found[0].params}: "
            f"{found[0].error} Nothing was logged. Change pipeline.py, or search in model.yaml."
        )
    return found


def _study(search: Search, start: Params, *, seed: int) -> optuna.Study:
    """Return a study that first proposes *start*, as far as it lies in the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=_sampler(search, seed=seed))
    if first := {name: v for name, v in start.items() if _is_inside(search.space.get(name), v)}:
        log.info("the first trial begins with the champion's %s", first)
        study.enqueue_trial(first)
    return study


def _suggest(trial: optuna.Trial, name: str, of: Range | tuple[Any, ...]) -> Any:
    if not isinstance(of, Range):
        return trial.suggest_categorical(name, of)
    if isinstance(of.low, int) and isinstance(of.high, int):
        return trial.suggest_int(name, of.low, of.high, log=of.log)
    return trial.suggest_float(name, of.low, of.high, log=of.log)


def _is_inside(of: Range | tuple[Any, ...] | None, value: Any) -> bool:
    if isinstance(of, Range):
        return isinstance(value, int | float) and of.low <= value <= of.high
    return of is not None and value in of


def _sampler(search: Search, *, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    choices = [of for of in search.space.values() if not isinstance(of, Range)]
    is_small = math.prod(map(len, choices)) <= search.trials
    if is_small and len(choices) == len(search.space):
        return optuna.samplers.BruteForceSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)
