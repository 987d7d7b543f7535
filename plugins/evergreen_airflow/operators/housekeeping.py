"""Check the state of a model and let go of what is too old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evergreen.errors import StateError
from evergreen.operations.housekeeping import apply_retention
from evergreen.receipts.operations import HousekeepingReceipt, StateReceipt
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import as_of_or_now
from evergreen_airflow.task_log import log_checks, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class CheckStateOperator(StageOperator):
    """
    Ask every invariant whether it holds.

    Safe to retry: it only looks.

    :return: A :class:`~evergreen.receipts.operations.StateReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#e8f4ea"

    def run_stage(self, context: Context) -> StateReceipt:
        """Check, show every answer, and fail if one is no."""
        from evergreen.operations.invariants import (
            check_invariants,  # heavy: scikit-learn, to probe the champion
        )

        now = datetime.now(UTC)
        checks = check_invariants(self.workspace, now=now)
        log_checks(self.log, f"State of {self.model}", checks)
        failed = [check for check in checks if check.status == "failed"]
        if failed:
            lines = [f"  {check.name}: {check.measured}" for check in failed]
            raise StateError("\n".join([f"{len(failed)} invariant(s) do not hold:", *lines]))
        self.log.info("All %d invariants hold", len(checks))
        return StateReceipt(
            model=self.model, as_of=as_of_or_now(context, now=now), checks=tuple(checks)
        )


class RemoveExpiredOperator(StageOperator):
    """
    Remove what retention lets go; never what an alias or the ledger names.

    Safe to retry: what is gone already is no error. The run's param ``dry_run`` only lists.

    :return: A :class:`~evergreen.receipts.operations.HousekeepingReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#f0f0e8"

    def run_stage(self, context: Context) -> HousekeepingReceipt:
        """Clean up, then say how much of what went, or would go."""
        now = datetime.now(UTC)
        receipt = apply_retention(
            self.workspace,
            as_of=as_of_or_now(context, now=now),
            now=now,
            dry_run=context["params"]["dry_run"],
        )
        what = "would be removed (dry run)" if receipt.dry_run else "removed"
        self.log.info("%d things %s", sum(receipt.removed.values()), what)
        rows = [*receipt.removed.items(), ("versions kept", receipt.kept_versions)]
        log_table(self.log, "Housekeeping", ("kind", "count"), rows)
        if receipt.record:
            self.log.info("What went is listed in %s", self.store.url(receipt.record.key))
        return receipt
