"""Measure one day of one model by one of the monitors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.monitoring.monitors import MONITORS
from evergreen.receipts.common import RunReceipt
from evergreen.receipts.monitoring import MonitorReceipt
from evergreen_airflow.links import page_url
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_monitor, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class MonitorOperator(StageOperator):
    """
    Measure the newest whole day by one monitor, and list what it measured.

    Safe to retry: what is measured once is kept, and the same data gives the same result.

    :param monitor: Its name in :data:`evergreen.monitoring.monitors.MONITORS`.
    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: The monitor's receipt, a :class:`~evergreen.receipts.monitoring.MonitorReceipt`, as a
        plain dict.
    """

    template_fields: Sequence[str] = ("model", "run")
    template_fields_renderers: ClassVar[dict[str, str]] = {"run": "json"}
    ui_color = "#efe6f7"

    def __init__(self, *, monitor: str, run: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.monitor = monitor
        self.run = run

    @property
    def as_of(self) -> datetime:
        """Return the instant the run lives at."""
        return RunReceipt.model_validate(self.run).as_of

    def run_stage(self, context: Context) -> MonitorReceipt:
        """Measure, then list the numbers."""
        monitor = MONITORS[self.monitor]
        found = monitor.measure(self.workspace, self.as_of)
        log_monitor(self.log, monitor.name.capitalize(), found)
        if getattr(found, "report", None) is not None:
            self.log.info("Report: %s", page_url(context))
        for title, columns, rows in monitor.tables(found):
            log_table(self.log, title, columns, rows)
        return found
