"""Make a version again and compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evergreen.errors import ReproductionError
from evergreen.receipts.operations import ReproductionReceipt
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import number_of
from evergreen_airflow.task_log import log_checks

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReproduceVersionOperator(StageOperator):
    """
    Fit a registered version again from its recorded data and compare digests and metrics.

    Safe to retry: nothing is registered. The version comes from the run's param ``version``.

    :return: A :class:`~evergreen.receipts.operations.ReproductionReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#e6f0fa"

    def run_stage(self, context: Context) -> ReproductionReceipt:
        """Reproduce, show both sides, and fail if the model or its numbers differ."""
        from evergreen.operations.reproduction import reproduce_version  # heavy: scikit-learn

        receipt = reproduce_version(self.workspace, version=str(number_of(context, "version")))
        log_checks(self.log, f"Version {receipt.version}: now against then", receipt.checks)
        if not receipt.is_identical:
            differ = [check.name for check in receipt.checks if check.status == "failed"]
            changed = [check.name for check in receipt.checks if check.status == "unknown"]
            raise ReproductionError(
                f"Version {receipt.version} of {self.model} differs in "
                f"{', '.join(differ)}. Changed since it was made: {', '.join(changed) or 'nothing'}"
                ". Nothing was registered. Run this again on the code and libraries it names."
            )
        self.log.info("Version %s was reproduced exactly", receipt.version)
        return receipt
