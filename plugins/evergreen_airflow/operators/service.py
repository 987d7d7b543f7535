"""Measure the model server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts import RunReceipt, ServiceReceipt
from evergreen.service import measure_service
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_table, log_watched

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeasureServiceOperator(StageOperator):
    """
    Read response time, errors and traffic of the newest day from the request log.

    Safe to retry: it reads, and a day's numbers are kept by the content of its log.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.ServiceReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "run")
    template_fields_renderers: ClassVar[dict[str, str]] = {"run": "json"}
    ui_color = "#efe6f7"

    def __init__(self, *, run: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run

    def run_stage(self, context: Context) -> ServiceReceipt:
        """Measure, then list the numbers."""
        as_of = RunReceipt.model_validate(self.run).as_of
        found = measure_service(self.store, self.spec, as_of=as_of)
        log_watched(self.log, "Service", found)
        rows = [
            ("requests", found.requests), ("usual requests", found.usual_requests),
            ("p50, ms", found.p50_ms), ("p95, ms", found.p95_ms), ("p99, ms", found.p99_ms),
            ("error rate", found.error_rate),
            *((f"requests to version {name}", count) for name, count in found.by_version.items()),
        ]  # fmt: skip
        log_table(self.log, f"The server on {found.day}", ("what", "value"), rows)
        return found
