"""Report drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.monitoring import DriftReceipt
from evergreen_airflow.links import page_url
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReportDriftOperator(StageOperator):
    """
    Keep an Evidently report of the newest days against the training days.

    Safe to retry: one report per set of examples is made and then given again.

    :param examples: Receipt of ``prepare_examples``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.DriftReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "examples")
    template_fields_renderers: ClassVar[dict[str, str]] = {"examples": "json"}
    ui_color = "#efe6f7"

    def __init__(self, *, examples: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.examples = examples

    def run_stage(self, context: Context) -> DriftReceipt:
        """Report, then list every column with its distance and how many values stand behind it."""
        from evergreen.reporting.drift_report import report_drift  # heavy: Evidently

        receipt = report_drift(
            self.store, self.spec, examples=ExamplesReceipt.model_validate(self.examples)
        )
        self.log.info("Report: %s", page_url(context))
        self.log.info(
            "Distances describe, they do not decide: days are not independent samples, and an "
            "ordinary day is beyond Evidently's default threshold in most columns."
        )
        rows = [
            (
                name,
                found.get("distance", found.get("note", "")),
                found.get("method", ""),
                found.get("reference_values", ""),
                found.get("current_values", ""),
            )
            for name, found in receipt.columns.items()
        ]
        columns = ("column", "distance", "method", "training values", "test values")
        log_table(self.log, "Test days against training days", columns, rows)
        return receipt
