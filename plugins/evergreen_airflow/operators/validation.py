"""Validate the data of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.data.partitions import Scope, days_needed
from evergreen.data.validation import load_verdicts, quarantine_reasons, validate_window
from evergreen.receipts.common import RunReceipt
from evergreen.receipts.data import ValidationReceipt
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_checks, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class ValidateDataOperator(StageOperator):
    """
    Hold every day of the run against the contract; put broken rows aside.

    Safe to retry: a day's verdict is kept, and the same bytes give the same verdict.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :param scope: ``training`` for the whole window; ``scoring`` for the days of the run and
        ``monitoring`` for the newest one, of which no label is asked.
    :return: A :class:`~evergreen.receipts.data.ValidationReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "run")
    template_fields_renderers: ClassVar[dict[str, str]] = {"run": "json"}
    ui_color = "#e8f4ea"

    def __init__(self, *, run: dict[str, Any], scope: Scope, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.scope: Scope = scope

    def run_stage(self, context: Context) -> ValidationReceipt:
        """Validate, then say what was read and what was put aside."""
        run = RunReceipt.model_validate(self.run)
        as_of = run.as_of
        days = days_needed(self.spec, as_of=as_of, scope=self.scope, first_day=run.first_day)
        receipt = validate_window(
            self.store, self.spec, as_of=as_of, days=days, serving=self.scope != "training"
        )
        self.log.info(
            "The contract holds: %d rows in %d days, %d rows in quarantine, %d partitions read",
            receipt.rows,
            receipt.days,
            receipt.quarantined,
            receipt.days_read,
        )
        log_checks(self.log, "Contract", receipt.checks)
        if receipt.quarantined:
            reasons = quarantine_reasons(load_verdicts(self.store, receipt).values())
            log_table(
                self.log, "Quarantine", ("rows", "reason"), [(n, r) for r, n in reasons.items()]
            )
        return receipt
