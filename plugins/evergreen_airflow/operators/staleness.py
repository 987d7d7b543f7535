"""Measure how old the champion is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.monitoring.staleness import measure_staleness
from evergreen.receipts.monitoring import StalenessReceipt
from evergreen_airflow.operators.base import MonitorOperator
from evergreen_airflow.task_log import log_monitor, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeasureStalenessOperator(MonitorOperator):
    """
    Hold the age of the champion and of its data against what the backtest allows.

    Safe to retry: it only reads.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.StalenessReceipt` as a plain dict.
    """

    def run_stage(self, context: Context) -> StalenessReceipt:
        """Measure, then list ages and limits."""
        found = measure_staleness(self.store, self.client, self.spec, as_of=self.as_of)
        log_monitor(self.log, "Staleness", found)
        rows = [
            (f"version {found.version}", found.champion_days, found.champion_limit),
            ("newest data it learnt from", found.data_days, found.data_limit),
            ("last challenged", found.challenged_days, ""),
        ]
        title = f"Ages in days ({found.limit_from})"
        log_table(self.log, title, ("what", "age", "allowed"), rows)
        return found
