"""Report drift, and decide whether it is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts import DetectionReceipt, DriftReceipt, ExamplesReceipt
from evergreen_airflow.operators.base import StageOperator, WatcherOperator
from evergreen_airflow.task_log import log_table, log_watched

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReportDriftOperator(StageOperator):
    """
    Keep an Evidently report of the newest days against the training days.

    Safe to retry: one report per set of examples is made and then given again.

    :param examples: Receipt of ``prepare_examples``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.DriftReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "examples")
    template_fields_renderers: ClassVar[dict[str, str]] = {"examples": "json"}
    ui_color = "#efe6f7"

    def __init__(self, *, examples: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.examples = examples

    def run_stage(self, context: Context) -> DriftReceipt:
        """Report, then list every column with its distance and how many values stand behind it."""
        from evergreen.drift import report_drift  # heavy: Evidently

        receipt = report_drift(
            self.store, self.spec, examples=ExamplesReceipt.model_validate(self.examples)
        )
        self.log.info("Report: %s", self.store.url(receipt.html.key))
        self.log.info(
            "Distances describe, they do not decide: days are not independent samples, and an "
            "ordinary day is beyond Evidently's default threshold in most columns."
        )
        rows = [
            (
                name,
                found.get("distance", found.get("note", "")),
                found.get("method", ""),
                found.get("reference_values", ""),
                found.get("current_values", ""),
            )
            for name, found in receipt.columns.items()
        ]
        columns = ("column", "distance", "method", "training values", "test values")
        log_table(self.log, "Test days against training days", columns, rows)
        return receipt


class DetectDriftOperator(WatcherOperator):
    """
    Hold the newest day against its reference, by how far days lay from theirs before.

    Safe to retry: distances are measured once and kept, and the same day gives the same report.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.DetectionReceipt` as a plain dict.
    """

    def run_stage(self, context: Context) -> DetectionReceipt:
        """Detect, then list every distance beside its limit, the most surprising first."""
        from evergreen.detection import detect_drift  # heavy: Evidently

        found = detect_drift(self.store, self.client, self.spec, as_of=self.as_of)
        log_watched(self.log, "Drift", found)
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
        days = [(a.day, len(a.findings), "" if a.is_told else "not told") for a in found.alarms]
        log_table(self.log, "Alarms of the last days", ("day", "beyond limit", ""), days)
        return found
