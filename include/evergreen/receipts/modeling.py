"""Receipts of training and evaluation."""

from __future__ import annotations

from datetime import datetime

from evergreen.receipts.common import Check, ObjectRef
from evergreen.values import Frozen

#: Parameters of a pipeline, by scikit-learn's names.
Params = dict[str, bool | int | float | str | None]


class CandidateReceipt(Frozen):
    """A candidate was fitted and logged."""

    model: str
    as_of: datetime
    candidate: str
    key: str
    run_id: str
    model_id: str
    artifact_sha256: str
    artifact_bytes: int
    params: Params
    trials: int
    validation: dict[str, float]


class Importance(Frozen):
    """What shuffling one input costs on the primary metric, and the standard error of that."""

    name: str
    cost: float
    error: float

    @property
    def is_useless(self) -> bool:
        """Whether the model is as good without what the input says."""
        return not self.cost > 2 * self.error


class Bin(Frozen):
    """One group of rows with similar predictions: mean predicted, mean actual, number of rows."""

    predicted: float
    actual: float
    rows: int


class Curves(Frozen):
    """How well one model's predictions fit the labels, and how well they order the rows."""

    calibration: tuple[Bin, ...]
    lift: tuple[tuple[float, float], ...]


class EvaluationDetails(Frozen):
    """What a person wants to see beyond the gates: aggregates only, never a row."""

    curves: dict[str, Curves]
    importances: tuple[Importance, ...]


class EvaluationReceipt(Frozen):
    """The best candidate was evaluated on test days that no training used."""

    model: str
    as_of: datetime
    challenger: CandidateReceipt
    candidates: tuple[CandidateReceipt, ...]
    champion_version: str | None
    record_key: str
    test_rows: int
    metrics: dict[str, dict[str, float | None]]
    gates: tuple[Check, ...]
    passed: bool
    details: ObjectRef
