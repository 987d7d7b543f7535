"""Register the challenger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts.common import StageReceipt
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.monitoring import DriftReceipt
from evergreen.receipts.release import RegistrationReceipt
from evergreen.release.registration import register_model
from evergreen_airflow.links import (
    EvidenceLink,
    MlflowRunLink,
    MlflowVersionLink,
    page_url,
    run_url,
    version_url,
)
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import identity_of
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class RegisterModelOperator(StageOperator):
    """
    Give the evaluated challenger its one version, with all that made it as tags, and its evidence.

    Safe to retry: the version is found by its key.

    :param evaluation: Receipt of ``evaluate_challenger``; pass its ``.output``. (templated)
    :param validation: Receipt of ``validate_data``; pass its ``.output``. (templated)
    :param examples: Receipt of ``prepare_examples``; pass its ``.output``. (templated)
    :param drift: Receipt of ``report_drift``; pass its ``.output``. (templated)
    :param stages: Receipts of further stages by the title they have in the evidence; pass their
        ``.output``. A check that did not pass holds the version back. (templated)
    :return: A :class:`~evergreen.receipts.release.RegistrationReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = (
        "model",
        "evaluation",
        "validation",
        "examples",
        "drift",
        "stages",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "evaluation": "json",
        "validation": "json",
        "examples": "json",
        "drift": "json",
        "stages": "json",
    }
    operator_extra_links = (EvidenceLink(), MlflowVersionLink(), MlflowRunLink())
    ui_color = "#fdf3e1"

    def __init__(
        self,
        *,
        evaluation: dict[str, Any],
        validation: dict[str, Any],
        examples: dict[str, Any],
        drift: dict[str, Any],
        stages: dict[str, dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.evaluation = evaluation
        self.validation = validation
        self.examples = examples
        self.drift = drift
        self.stages = stages

    def run_stage(self, context: Context) -> RegistrationReceipt:
        """Register, then say which version it is and whether it was there before."""
        evaluation = EvaluationReceipt.model_validate(self.evaluation)
        receipt = register_model(
            self.workspace,
            evaluation=evaluation,
            validation=ValidationReceipt.model_validate(self.validation),
            examples=ExamplesReceipt.model_validate(self.examples),
            drift=DriftReceipt.model_validate(self.drift),
            stages={
                name: StageReceipt.model_validate(stage)
                for name, stage in (self.stages or {}).items()
            },
            tags=identity_of(context),
        )
        was = "was registered" if receipt.created else "was registered before and is kept"
        self.log.info("%s version %s %s", receipt.model, receipt.version, was)
        there = self.registry_url
        self.evidence_url = page_url(context)
        self.version_url = version_url(there, model=receipt.model, version=receipt.version)
        self.run_url = run_url(there, experiment_id=receipt.experiment_id, run_id=receipt.run_id)
        self.log.info("Evidence: %s", self.evidence_url)
        rows = [
            ("candidate", evaluation.challenger.candidate),
            ("gates", "passed" if receipt.passed else "missed"),
            ("key", receipt.key),
            ("MLflow run", evaluation.challenger.run_id),
        ]
        log_table(self.log, f"Version {receipt.version}", ("what", "value"), rows)
        return receipt
