"""Decide on the health of a model, alert, and request a retrain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.errors import MonitoringError
from evergreen.monitoring.health import Report, assess_health
from evergreen.receipts.monitoring import HealthReceipt, MonitorReceipt
from evergreen.registry import ledger as ledger_store
from evergreen_airflow.alerts import alert
from evergreen_airflow.assets import request_retrain
from evergreen_airflow.links import page_url
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import as_of_of, is_backfill
from evergreen_airflow.sensors.data import skip_before_champion
from evergreen_airflow.task_log import log_table
from evergreen_airflow.task_metrics import report_health

if TYPE_CHECKING:
    from airflow.sdk import Context


class AssessHealthOperator(StageOperator):
    """
    Make one decision of what every monitor found; it runs whether they succeeded or not.

    Safe to retry: the day's page is replaced, and a retrain that was requested and has not run is
    requested again as the same request.

    :param results: The receipt of each monitor by its name; pass their ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.HealthReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "results")
    template_fields_renderers: ClassVar[dict[str, str]] = {"results": "json"}
    ui_color = "#fbe5e1"

    def __init__(
        self,
        *,
        results: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.results = results

    def run_stage(self, context: Context) -> HealthReceipt:
        """Decide, write the page, alert, request a retrain; fail if a monitor gave no result."""
        now = datetime.now(UTC)
        as_of = as_of_of(context, now=now)
        skip_before_champion(self.store, self.spec, as_of=as_of)
        latest_as_of = ledger_store.read_ledger(self.store, self.model).latest_as_of
        is_replay = is_backfill(context) or (latest_as_of is not None and as_of < latest_as_of)
        report = Report(results=self.results)
        found = assess_health(
            self.workspace,
            as_of=as_of,
            report=report,
            is_replay=is_replay,
            now=now,
        )
        self.log.info("%s: %s on %s", found.colour.upper(), found.model, found.day)
        self.log.info("Retrain %s", found.retrain)
        self.log.info("Page: %s", page_url(context))
        for reason in found.reasons:
            self.log.warning("%s", reason)
        states = [(name, _state(name, result, found)) for name, result in report.results.items()]
        log_table(self.log, f"{found.model} on {found.day}", ("monitor", "state"), states)
        if not is_replay:
            report_health(found, report)
            self._send_alert(context, found)
        if found.missing:
            raise MonitoringError(
                f"{', '.join(found.missing)} produced no result for {found.day}; the health of "
                f"{found.model} is unknown. {found.page} shows what is known, and no retrain was "
                "requested. Look at the failed task of this run, correct what it names, and clear "
                "it with the tasks after it."
            )
        return found

    def _send_alert(self, context: Context, found: HealthReceipt) -> None:
        """Alert on red and unknown every day, on amber when there is a new reason."""
        if found.request is not None:
            request_retrain(context, self.spec, found.request)
        if found.reasons and (found.colour in ("red", "unknown") or found.new_reasons):
            lines = [f"- {reason}" for reason in found.reasons]
            alert(
                context,
                self.spec,
                title=f"{found.colour.upper()}: {found.model} on {found.day}",
                body="\n".join(
                    [
                        *lines,
                        "",
                        f"Retrain: {found.retrain}.",
                        "",
                        f"[Its page]({page_url(context)})",
                    ]
                ),
            )


def _state(name: str, result: MonitorReceipt | None, found: HealthReceipt) -> str:
    if name in found.missing:
        return "no result"
    return "not monitored" if result is None else result.colour
