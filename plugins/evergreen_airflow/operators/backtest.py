"""Replay what would have happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evergreen.receipts.operations import BacktestReceipt
from evergreen_airflow.links import page_url
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import range_of
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class BacktestChampionOperator(StageOperator):
    """
    Walk through the versions of a range of nights and show what the gates would have made of them.

    Safe to retry: the present is neither read nor touched, and equal results are one object. The
    range comes from the run's params ``first`` and ``last``.

    :return: A :class:`~evergreen.receipts.operations.BacktestReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#efe6f7"

    def run_stage(self, context: Context) -> BacktestReceipt:
        """Replay, then show the strategies side by side and where table and plot lie."""
        from evergreen.operations.backtest import backtest  # heavy: pandas

        first, last = range_of(context)
        receipt = backtest(self.workspace, first=first, last=last)
        self.log.info(
            "%d nights, %d promotions; %d days with %d labelled rows",
            receipt.nights,
            receipt.promotions,
            receipt.days,
            receipt.rows,
        )
        log_table(
            self.log,
            f"{receipt.metric} over all rows",
            ("strategy", receipt.metric),
            list(receipt.pooled.items()),
        )
        self.log.info("Table: %s in the object store", receipt.table.key)
        self.log.info("Plot: %s", page_url(context))
        return receipt
