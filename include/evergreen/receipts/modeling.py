"""Receipts of training and evaluation."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import model_validator

from evergreen.receipts.common import Check, ObjectRef, contradiction
from evergreen.values import Frozen

#: Parameters of a pipeline, by scikit-learn's names.
Params = dict[str, bool | int | float | str | None]


class CandidateReceipt(Frozen):
    """
    A candidate was fitted and logged.

    ``fit_seconds``: of the last fit, on ``train_rows`` rows; None if an older release fitted it.
    """

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
    fit_seconds: float | None = None
    train_rows: int | None = None


class Importance(Frozen):
    """
    What shuffling one input costs on the primary metric, and the error of that.

    The error is half of the distance to the one-sided lower bound at 97.5 %. None is what could not
    be measured, as from one day.
    """

    name: str
    cost: float | None
    error: float | None

    @property
    def lower(self) -> float | None:
        """The lower bound of the cost; None if it could not be measured."""
        if self.cost is None or self.error is None:
            return None
        return self.cost - 2 * self.error

    @property
    def is_useless(self) -> bool:
        """Whether the model is not shown to be worse without what the input says."""
        return self.lower is None or not self.lower > 0


class GroupGain(Importance):
    """
    What shuffling all inputs of one group together costs on the primary metric.

    ``min_gain``: what the group must bring at least, as the spec says; None if it does not.
    """

    columns: tuple[str, ...]
    min_gain: float | None

    @property
    def is_worth_its_cost(self) -> bool:
        """Whether the group is shown to bring more than it must."""
        return self.lower is not None and self.min_gain is not None and self.lower > self.min_gain


class ExplanationCheck(Frozen):
    """
    One test row was explained: its prediction, alone and among others, and what each input adds.

    ``inputs``: how many have a finite contribution. It holds no value of the row.
    """

    inputs: int
    reference_rows: int
    is_same_alone: bool


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
    groups: tuple[GroupGain, ...] = ()
    explanation: ExplanationCheck | None = None


class EvaluationReceipt(Frozen):
    """
    The best candidate was evaluated on test days that no training used.

    ``predict_ms_per_row`` is measured on all test rows at once, ``predict_ms_per_call`` on calls of
    ten rows; None if an older release evaluated it. ``failed_candidates`` were to be fitted by the
    run that asked, and failed. ``passed`` must be what ``gates`` say: a receipt that contradicts
    itself is refused.
    """

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
    predict_ms_per_row: float | None = None
    predict_ms_per_call: float | None = None
    failed_candidates: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        derived = all(gate.status != "failed" for gate in self.gates)
        if self.passed != derived:
            raise contradiction("passed", self.passed, derived, "gates")
        return self
