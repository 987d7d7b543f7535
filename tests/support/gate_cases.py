"""Simulated test days for the gates: models whose truth is known, with effects of days."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from evergreen.modeling import metrics
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.gate_inputs import GateInputs, ModelScores
from evergreen.modeling.metrics import Labels
from evergreen.receipts.common import Check
from evergreen.receipts.modeling import Importance


def scores_of(truth: Labels, predictions: np.ndarray) -> ModelScores:
    """Return *predictions* with their metrics."""
    found = metrics.measure(truth, predictions)
    return ModelScores(predictions=predictions, metrics=found, ms_per_row=0.01)


def inputs_of(
    truth: Labels,
    challenger: np.ndarray,
    days: np.ndarray,
    *,
    champion: np.ndarray | None = None,
    linear: np.ndarray | None = None,
    columns: dict[str, np.ndarray] | None = None,
) -> GateInputs:
    """Return the inputs of the gates; what is not given is beaten easily."""
    first = pd.Timestamp("2026-03-01", tz="UTC")
    test = pd.DataFrame({"id": np.arange(len(days))} | (columns or {})).assign(
        event_time=first + pd.to_timedelta(days, unit="D")
    )
    trivial = scores_of(truth, trivial_baseline(truth, rows=len(truth)))
    return GateInputs(
        test=test,
        train=test.assign(id=test["id"] + len(test)),
        truth=truth,
        challenger=scores_of(truth, challenger),
        trivial=trivial,
        linear=trivial if linear is None else scores_of(truth, linear),
        champion=None if champion is None else scores_of(truth, champion),
        artifact_bytes=1,
        shuffled=(0.01, -0.01) * 10,
        importances=(Importance(name="x", cost=1.0, error=0.1),),
    )


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Return probabilities of log odds."""
    return 1 / (1 + np.exp(-logit))


def days_of(rows: int, days: int) -> np.ndarray:
    """Return the day of each row, days of about equal size."""
    return np.arange(rows) % days


def binary(
    rng: np.random.Generator,
    *,
    rows: int,
    share: float,
    days: int = 7,
    effect: float = 0.0,
    spread: float = 1.0,
) -> tuple[Labels, np.ndarray, np.ndarray]:
    """
    Return labels, their true chances and days; both classes occur.

    :param share: Of positives, about.
    :param effect: Standard deviation of a shift of the log odds of a whole day, which the chances
        do not know.
    :param spread: Standard deviation of the log odds between rows.
    """
    day = days_of(rows, days)
    logit = np.log(share / (1 - share)) + spread * rng.normal(size=rows)
    values = rng.random(rows) < 1 / (1 + np.exp(-(logit + rng.normal(0, effect, days)[day])))
    if values.all() or not values.any():
        values[0] = not values[0]
    return Labels(problem="binary", values=values), 1 / (1 + np.exp(-logit)), day


def regression(
    rng: np.random.Generator, *, rows: int, effect: float, days: int = 7, noise: float = 0.5
) -> tuple[Labels, np.ndarray, np.ndarray]:
    """Return labels, their expected values without the shift of each day, and days."""
    day = days_of(rows, days)
    signal = rng.normal(size=rows)
    values = signal + rng.normal(0, effect, days)[day] + rng.normal(0, noise, rows)
    return Labels(problem="regression", values=values), signal, day


def multiclass(
    rng: np.random.Generator, *, rows: int, classes: int, rare: float = 0.02, days: int = 7
) -> tuple[Labels, np.ndarray, np.ndarray]:
    """Return labels, their true chances and days; the first class is *rare*."""
    shares = np.array([rare] + [(1 - rare) / (classes - 1)] * (classes - 1))
    chances = np.exp(np.log(shares) + rng.normal(size=(rows, classes)))
    chances /= chances.sum(axis=1, keepdims=True)
    codes = (chances.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    names = tuple(f"class {n}" for n in range(classes))
    return Labels(problem="multiclass", values=codes, classes=names), chances, days_of(rows, days)


def share_failed(checks: Iterable[Iterable[Check]]) -> float:
    """Return in what share of the tries any check failed."""
    return float(np.mean([any(c.status == "failed" for c in found) for found in checks]))
