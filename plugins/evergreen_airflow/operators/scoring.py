"""Score one day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowSkipException

from evergreen.data.partitions import days_needed
from evergreen.errors import HeldError, NoChampionError
from evergreen.receipts.common import RunReceipt
from evergreen.receipts.data import ScoringReceipt, ValidationReceipt
from evergreen.registry.health_record import red_day, why_held
from evergreen.spec.operations import SqlSink
from evergreen_airflow.hooks.sql import engine_of
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import is_scheduled
from evergreen_airflow.sensors.data import skip_before_champion
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScorePartitionOperator(StageOperator):
    """
    Write predictions for each day of the run with the version that was champion before that day.

    Safe to retry: exactly those partitions are replaced, by the same bytes. A day before the first
    champion is skipped; without any champion the task fails. A scheduled run also scores the days
    before its own that no run has scored, if their data have landed.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :param validation: Receipt of ``validate_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.data.ScoringReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "run", "validation")
    template_fields_renderers: ClassVar[dict[str, str]] = {"run": "json", "validation": "json"}
    ui_color = "#efe6f7"

    def __init__(self, *, run: dict[str, Any], validation: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.validation = validation

    def _hold(self, validation: ValidationReceipt) -> None:
        """Refuse to score a new day after a red one, or warn, as the spec says."""
        before = validation.as_of - timedelta(days=1)
        red = red_day(self.store, self.spec.model, as_of=before)
        if red is None:
            return
        if self.spec.scoring.on_red == "hold":
            raise HeldError(
                f"{why_held(red, setting='scoring.on_red')}. Nothing was scored. Repair what the "
                f"page of {red.day} names, then trigger {self.spec.model}__score by hand for this "
                "day, or write scoring.on_red: warn in model.yaml and clear this task."
            )
        self.log.warning("%s is red: %s", red.day, "; ".join(red.reasons))

    def run_stage(self, context: Context) -> ScoringReceipt:
        """Score each day of the run, then what earlier runs missed; log version and result."""
        from evergreen.data.day_validation import is_open
        from evergreen.data.validation import load_verdicts
        from evergreen.scoring.scoring import score_missed_days, score_partition  # heavy: pandas

        run = RunReceipt.model_validate(self.run)
        validation = ValidationReceipt.model_validate(self.validation)
        skip_before_champion(self.store, self.spec, as_of=run.as_of)
        if is_scheduled(context):
            self._hold(validation)
        days = days_needed(self.spec, as_of=run.as_of, scope="scoring", first_day=run.first_day)
        verdicts = load_verdicts(self.store, validation)
        found = []
        for day in reversed([day for day in days if is_open(self.spec, day, verdicts)]):
            try:
                receipt = score_partition(
                    self.workspace, as_of=run.as_of, validation=validation, day=day
                )
            except NoChampionError as error:
                self.log.info("%s and the days before it are not scored: %s", day, error)
                break
            found.append(receipt)
            self._publish(receipt)
        if is_scheduled(context):
            missed = score_missed_days(self.workspace, as_of=run.as_of, before=days.first)
            for receipt in missed:
                self.log.warning("%s had been missed by earlier runs", receipt.day)
                found.append(receipt)
                self._publish(receipt)
        if not found:
            raise AirflowSkipException(f"There is nothing to score: {days} are closed.")
        newest, *earlier = found
        return newest.model_copy(update={"earlier_days": tuple(r.day for r in earlier)})

    def _publish(self, receipt: ScoringReceipt) -> None:
        """Log what was scored, and copy it where the spec wants it too."""
        self.log.info(
            "%d predictions for %s by version %s", receipt.rows, receipt.day, receipt.version
        )
        rows = [
            *((f"mean {name}", value) for name, value in receipt.mean_scores.items()),
            ("object", receipt.predictions.key),
            ("sha256", receipt.predictions.sha256[:12]),
        ]
        log_table(self.log, f"Predictions of {receipt.day}", ("what", "value"), rows)
        if receipt.quarantined:
            left_out = [(q.rows, q.table, q.reason) for q in receipt.quarantined]
            log_table(self.log, "Not scored, in quarantine", ("rows", "table", "reason"), left_out)
        if sink := self.spec.scoring.sql:
            self._copy(receipt, sink)

    def _copy(self, receipt: ScoringReceipt, sink: SqlSink) -> None:
        from evergreen.scoring.sql_sink import copy_predictions

        engine = engine_of(sink.connection, key="scoring.sql.connection")
        rows = copy_predictions(self.store, receipt, engine=engine, table=sink.table)
        self.log.info("%d rows of %s are in %s too", rows, receipt.day, sink.table)
