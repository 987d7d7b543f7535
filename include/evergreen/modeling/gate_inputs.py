"""What the gates look at: predictions for the test rows, and how they were made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evergreen.modeling.false_promotions import EvaluationLevel
from evergreen.modeling.metrics import Labels, Predictions, bad_rows
from evergreen.receipts.modeling import Importance
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """
    One model's predictions for the test rows, their metrics, and the time they took.

    ``ms_per_row`` is measured on all rows at once, ``ms_per_call`` on calls of ten. ``problem``
    says why a model could not be loaded or asked.
    """

    predictions: Predictions
    metrics: dict[Metric, float]
    ms_per_row: float = field(default=math.nan)
    ms_per_call: float = field(default=math.nan)
    problem: str = ""

    def value(self, metric: Metric) -> float:
        """Return *metric*, or NaN if it was not measured."""
        return self.metrics.get(metric, math.nan)

    @property
    def bad_rows(self) -> int:
        """The number of rows with a prediction that is not finite."""
        return bad_rows(self.predictions)


@dataclass(frozen=True, kw_only=True)
class GateInputs:
    """
    Everything the gates look at.

    ``test`` are the rows all were evaluated on and ``truth`` their labels; ``train`` what the
    challenger learnt from. ``shuffled`` are its gains after learning from shuffled labels,
    ``level`` how often this evaluation may promote an equal challenger.
    """

    test: pd.DataFrame
    train: pd.DataFrame
    truth: Labels
    challenger: ModelScores
    trivial: ModelScores
    linear: ModelScores
    champion: ModelScores | None
    artifact_bytes: int
    shuffled: Sequence[float]
    importances: Sequence[Importance]
    level: EvaluationLevel | None = None


def days_of_rows(spec: ModelSpec, rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number of the UTC day of each of *rows*; rows of one day are not independent."""
    days = rows[spec.examples.event_time].dt.floor("D")
    return np.asarray(pd.factorize(days)[0], dtype=np.int64)


def why_not_measurable(truth: Labels) -> str | None:
    """Return why nothing can be measured on *truth*; None if something can."""
    if truth.is_measurable:
        return None
    return f"cannot tell: all {len(truth)} test labels are the same"
