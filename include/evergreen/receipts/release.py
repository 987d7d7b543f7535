"""Receipts of the stages between a registered version and the served champion."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field, JsonValue, model_validator

from evergreen.receipts.common import Check, StageReceipt, contradiction
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen.receipts.monitoring import DriftReceipt
from evergreen.values import Frozen

#: What a final score says, by the highest score it holds for (Breck et al. 2017, Table VI).
BANDS = (
    (0.0, "more of a research project than a productionized system"),
    (1.0, "not totally untested, but serious holes in reliability are possible"),
    (2.0, "a first pass at basic productionization, more investment may be needed"),
    (3.0, "reasonably tested, more of the tests and procedures may be automated"),
    (5.0, "strong levels of automated testing and monitoring"),
    (7.0, "exceptional levels of automated testing and monitoring"),
)


class ScoredTest(Frozen):
    """One test of the ML Test Score: 0, 0.5 or 1, and what it was given for."""

    name: str
    points: float
    evidence: str


class ScoredSection(Frozen):
    """One of the four sections of the ML Test Score."""

    name: str
    tests: tuple[ScoredTest, ...]

    @property
    def total(self) -> float:
        """Points of the section, of one per test."""
        return sum(test.points for test in self.tests)


class TestScore(Frozen):
    """The ML Test Score of one version: the least of its sections, from 0 to 7."""

    __test__: ClassVar[bool] = False  # pytest collects names that begin with Test

    sections: tuple[ScoredSection, ...]
    total: float

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        derived = min((section.total for section in self.sections), default=self.total)
        if self.total != derived:
            raise contradiction("total", self.total, derived, "sections")
        return self

    @property
    def meaning(self) -> str:
        """What the total says, in the words of Breck et al. 2017, Table VI."""
        return next(text for most, text in BANDS if self.total <= most)


class VersionIdentity(Frozen):
    """
    Everything that made a version: enough to make it again and to say what differs.

    ``stages``: the results of further stages of the retrain DAG, by their names.
    """

    model: str
    key: str
    as_of: datetime
    challenger: CandidateReceipt
    candidates: tuple[CandidateReceipt, ...]
    validation: ValidationReceipt
    examples: ExamplesReceipt
    drift: DriftReceipt
    store_uri: str
    days: dict[str, str]
    spec: dict[str, JsonValue]
    spec_digest: str
    code_digest: str
    git_sha: str
    git_dirty: bool | None
    environment: dict[str, str]
    run: dict[str, str]
    stages: dict[str, StageReceipt] = Field(default_factory=dict)

    def passed(self, evaluation: EvaluationReceipt) -> bool:
        """Return whether the gates of *evaluation* and the checks of further stages passed."""
        return evaluation.passed and not self._missed_checks()

    def missed(self, evaluation: EvaluationReceipt) -> tuple[str, ...]:
        """
        Return the names of the rules that hold the version back, in the evaluation *evaluation*.

        Those are the gates that failed, and the checks of further stages that did not pass.
        """
        gates = [gate.name for gate in evaluation.gates if gate.status == "failed"]
        return (*gates, *self._missed_checks())

    def _missed_checks(self) -> list[str]:
        checks = [check for stage in self.stages.values() for check in stage.checks]
        return [check.name for check in checks if check.status != "passed"]


class RegistrationReceipt(Frozen):
    """The challenger has a version in the model registry."""

    model: str
    as_of: datetime
    version: str
    key: str
    created: bool
    passed: bool
    compared_with: str | None
    evidence: str
    run_id: str
    experiment_id: str


class ApprovalReceipt(Frozen):
    """A person's answer, or why no one was asked."""

    model: str
    as_of: datetime
    version: str
    compared_with: str | None
    asked: bool
    approved: bool
    actor: str
    message: str

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.approved and not self.asked:
            raise contradiction("approved", self.approved, False, "asked")
        return self


class DeploymentReceipt(Frozen):
    """
    Which version serves after this run, and why.

    ``moved``: this run made ``version`` champion, in this try or an earlier one.
    """

    model: str
    as_of: datetime
    version: str
    champion_version: str | None
    moved: bool
    reason: str
    is_backed_out: bool = False


class PromotionReceipt(Frozen):
    """
    A version was compared with the champion of another environment, and registered there.

    ``compared_with`` is that champion. After a dry run there is no ``registration``.
    """

    model: str
    as_of: datetime
    version: str
    to: str
    passed: bool
    compared_with: str | None
    test_rows: int
    gates: tuple[Check, ...]
    registration: RegistrationReceipt | None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        derived = all(gate.status != "failed" for gate in self.gates)
        if self.passed != derived:
            raise contradiction("passed", self.passed, derived, "gates")
        return self


def registration_in(receipt: dict[str, Any]) -> RegistrationReceipt | None:
    """
    Return the registration that ``register_model`` or ``promote_model`` handed on as *receipt*.

    :return: None after a dry run of a promotion.
    """
    if "registration" in receipt:
        return PromotionReceipt.model_validate(receipt).registration
    return RegistrationReceipt.model_validate(receipt)


class RollbackReceipt(Frozen):
    """
    What a rollback run did, and what was forced for it.

    ``moved``: this run made ``version`` champion, in this try or an earlier one.
    ``champion_version`` is what serves now: after a later change, not ``version`` any more.
    """

    model: str
    serves_from: datetime
    previous: str | None
    version: str
    version_as_of: datetime
    champion_version: str | None
    moved: bool
    warnings: tuple[str, ...]
