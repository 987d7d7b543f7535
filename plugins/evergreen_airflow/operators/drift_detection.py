"""Decide whether the newest day has drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.receipts.monitoring import DetectionReceipt
from evergreen_airflow.operators.base import MonitorOperator
from evergreen_airflow.task_log import log_monitor, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class DetectDriftOperator(MonitorOperator):
    """
    Hold the newest day against its reference, by how far days lay from theirs before.

    Safe to retry: distances are measured once and kept, and the same day gives the same report.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.DetectionReceipt` as a plain dict.
    """

    def run_stage(self, context: Context) -> DetectionReceipt:
        """Detect, then list every distance beside its limit, the most surprising first."""
        from evergreen.monitoring.drift_detection import detect_drift  # heavy: Evidently

        found = detect_drift(self.store, self.client, self.spec, as_of=self.as_of)
        log_monitor(self.log, "Drift", found)
        self.log.info("Report: %s", self.store.url(found.report.html.key))
        rows = [
            (
                one.name,
                one.distance,
                one.usual,
                one.limit,
                "ALARM" if one.distance > one.limit else "" if one.can_alarm else "cannot alarm",
            )
            for one in sorted(found.columns, key=lambda one: one.share, reverse=True)
        ]
        title = f"{found.day} against {len(found.reference_days)} days, {found.history_days} before"
        log_table(self.log, title, ("distance", "measured", "usual", "limit", ""), rows)
        days = [(a.day, len(a.findings), "" if a.is_known else "not told") for a in found.alarms]
        log_table(self.log, "Alarms of the last days", ("day", "beyond limit", ""), days)
        return found
