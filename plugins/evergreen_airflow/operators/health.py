"""Decide how a model is, tell people, and ask for a retrain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.errors import MonitoringError
from evergreen.monitoring.health import Report, assess_health
from evergreen.receipts.monitoring import HealthReceipt
from evergreen.registry import ledger as ledger_store
from evergreen_airflow.alerts import alert
from evergreen_airflow.assets import request_retrain
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import as_of_of, is_backfill
from evergreen_airflow.sensors.data import skip_before_champion
from evergreen_airflow.task_log import log_table
from evergreen_airflow.task_metrics import report_health

if TYPE_CHECKING:
    from airflow.sdk import Context


class AssessHealthOperator(StageOperator):
    """
    Make one decision of what every watcher found; run it whatever became of them.

    Safe to retry: the day's page is replaced, and a retrain that was asked for and has not come is
    asked for again as the same request.

    :param drift: Receipt of ``detect_drift``; None if it gave none. (templated)
    :param quality: Receipt of ``measure_quality``, likewise. (templated)
    :param service: Receipt of ``measure_service``, likewise; only for a model with a server.
        (templated)
    :param skew: Receipt of ``measure_skew``, likewise. (templated)
    :param staleness: Receipt of ``measure_staleness``, likewise. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.HealthReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "drift", "quality", "service", "skew", "staleness")
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(template_fields[1:], "json")
    ui_color = "#fbe5e1"

    def __init__(
        self,
        *,
        drift: dict[str, Any] | None = None,
        quality: dict[str, Any] | None = None,
        service: dict[str, Any] | None = None,
        skew: dict[str, Any] | None = None,
        staleness: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.drift = drift
        self.quality = quality
        self.service = service
        self.skew = skew
        self.staleness = staleness

    def run_stage(self, context: Context) -> HealthReceipt:
        """Decide, write the page, tell people, ask for a retrain; fail if a watcher was silent."""
        now = datetime.now(UTC)
        as_of = as_of_of(context, now=now)
        skip_before_champion(self.store, self.spec, as_of=as_of)
        latest_as_of = ledger_store.read_ledger(self.store, self.model).latest_as_of
        is_replay = is_backfill(context) or (latest_as_of is not None and as_of < latest_as_of)
        report = Report.model_validate(
            {
                "drift": self.drift,
                "quality": self.quality,
                "service": self.service,
                "skew": self.skew,
                "staleness": self.staleness,
            }
        )
        found = assess_health(
            self.store,
            self.client,
            self.spec,
            as_of=as_of,
            report=report,
            is_replay=is_replay,
            now=now,
        )
        self.log.info("%s: %s on %s", found.colour.upper(), found.model, found.day)
        self.log.info("Retrain %s", found.retrain)
        self.log.info("Page: %s", self.store.url(found.page))
        for reason in found.reasons:
            self.log.warning("%s", reason)
        watched = [
            (name, "no result" if name in found.missing else of.colour if of else "not watched")
            for name, of in report.watched.items()
        ]
        log_table(self.log, f"How {found.model} was on {found.day}", ("watched", "state"), watched)
        if not is_replay:
            report_health(found, report)
            self._tell(context, found)
        if found.missing:
            raise MonitoringError(
                f"{', '.join(found.missing)} gave no result for {found.day}, so nobody knows how "
                f"{found.model} is. {found.page} says what is known, and nothing was asked for. "
                "Look at the failed task of this run, mend what it names, and clear it with the "
                "tasks after it."
            )
        return found

    def _tell(self, context: Context, found: HealthReceipt) -> None:
        """Alert on red and unknown every day, on amber when something new is the matter."""
        if found.request is not None:
            request_retrain(context, self.spec, found.request)
        if found.reasons and (found.colour in ("red", "unknown") or found.new_reasons):
            lines = [f"- {reason}" for reason in found.reasons]
            alert(
                context,
                self.spec,
                title=f"{found.colour.upper()}: {found.model} on {found.day}",
                body="\n".join([*lines, "", f"Retrain: {found.retrain}."]),
            )
