"""Measure the model server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.monitoring.service_levels import measure_service
from evergreen.receipts.monitoring import ServiceReceipt
from evergreen_airflow.operators.base import MonitorOperator
from evergreen_airflow.task_log import log_monitor, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeasureServiceOperator(MonitorOperator):
    """
    Read response time, errors and traffic of the newest day from the request log.

    Safe to retry: it reads, and a day's numbers are kept by the content of its log.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.ServiceReceipt` as a plain dict.
    """

    def run_stage(self, context: Context) -> ServiceReceipt:
        """Measure, then list the numbers."""
        found = measure_service(self.store, self.spec, as_of=self.as_of)
        log_monitor(self.log, "Service", found)
        rows = [
            ("requests", found.requests),
            ("usual requests", found.usual_requests),
            ("p50, ms", found.p50_ms),
            ("p95, ms", found.p95_ms),
            ("p99, ms", found.p99_ms),
            ("error rate", found.error_rate),
            *((f"requests to version {name}", count) for name, count in found.by_version.items()),
        ]
        log_table(self.log, f"The server on {found.day}", ("what", "value"), rows)
        return found
