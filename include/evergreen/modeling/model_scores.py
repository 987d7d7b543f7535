"""Predict the test rows with one model, and measure its metrics and its speed."""

from __future__ import annotations

import logging
import time

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from evergreen.errors import ArtifactError
from evergreen.modeling import metrics
from evergreen.modeling.gate_inputs import ModelScores
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.prediction import predict
from evergreen.spec import ModelSpec

log = logging.getLogger(__name__)

#: Calls of a few rows that are timed; the fastest counts, since others share the machine.
TIMED_CALLS, CALL_ROWS = 5, 10


def score_model(
    model: Pipeline, *, rows: pd.DataFrame, spec: ModelSpec, classes: tuple[str, ...] = ()
) -> ModelScores:
    """
    Predict *rows* with *model* and measure the result; the times are of warm calls.

    :param classes: All classes of a multi-class problem; those of *rows* if empty.
    """
    truth = Labels.of(rows, spec=spec.examples, classes=classes)

    def timed(asked: pd.DataFrame) -> tuple[Predictions, float]:
        started = time.perf_counter()
        found = predict(model, asked, spec=spec.examples, classes=truth.classes)
        return found, 1000 * (time.perf_counter() - started)

    calls = [timed(rows.head(CALL_ROWS))[1] for _ in range(TIMED_CALLS)]
    predictions, milliseconds = timed(rows)
    return ModelScores(
        predictions=predictions,
        metrics=metrics.measure(truth, predictions),
        ms_per_row=milliseconds / len(rows),
        ms_per_call=min(calls),
    )


def score_champion(
    model: Pipeline | ArtifactError,
    *,
    rows: pd.DataFrame,
    spec: ModelSpec,
    classes: tuple[str, ...],
) -> ModelScores:
    """
    Score the champion. One that cannot be loaded or asked has no prediction, and ``problem`` why.

    :param model: The champion, or why it cannot be loaded.
    """
    problem = ""
    if isinstance(model, ArtifactError):
        problem = str(model)
    else:
        try:
            return score_model(model, rows=rows, spec=spec, classes=classes)
        except Exception as error:
            log.exception("The champion cannot predict the test rows.")
            problem = f"it cannot predict the test rows: {type(error).__name__}: {error}"
    shape = (len(rows), len(classes)) if classes else (len(rows),)
    nothing = np.full(shape, np.nan)
    truth = Labels.of(rows, spec=spec.examples, classes=classes)
    measured = metrics.measure(truth, nothing)
    return ModelScores(predictions=nothing, metrics=measured, problem=problem)
