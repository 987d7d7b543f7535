"""Hold what callers send against the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.monitoring.training_serving_skew import measure_skew
from evergreen.receipts.monitoring import SkewReceipt
from evergreen_airflow.operators.base import MonitorOperator
from evergreen_airflow.task_log import log_monitor, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeasureSkewOperator(MonitorOperator):
    """
    Compare rows that the model server answered with the prepared examples of the same events.

    Safe to retry: it reads.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.SkewReceipt` as a plain dict.
    """

    def run_stage(self, context: Context) -> SkewReceipt:
        """Compare, then list the inputs, those that differ most first."""
        found = measure_skew(self.store, self.spec, as_of=self.as_of)
        log_monitor(self.log, "Skew", found)
        rows = [(c.name, f"{c.share:.1%}", c.served, c.prepared) for c in found.columns]
        title = f"{found.compared} of {found.served} served rows are examples of {found.day}"
        log_table(self.log, title, ("input", "differs in", "served", "prepared"), rows)
        return found
