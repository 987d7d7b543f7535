"""Land the days of a run from a source, such as a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from evergreen.data.partitions import (
    Scope,
    days_needed,
    missing,
    needed,
    refuse_days_before_data,
)
from evergreen.spec import ModelSpec
from evergreen_airflow.operators.base import ModelOperator
from evergreen_airflow.run_context import as_of_of, first_day_of
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context

    from evergreen.receipts.data import ExtractionReceipt


class ExtractDataOperator(ModelOperator):
    """
    Read the days a run needs from the source and keep each as a partition.

    Waits, without a worker slot, for days that have no row yet. Safe to retry: equal rows are equal
    bytes, and an unchanged partition is not touched.

    :param scope: As in :class:`~evergreen_airflow.sensors.data.WaitForDataSensor`.
    :param poll_s: Seconds between two looks at a day without rows.
    :return: A :class:`~evergreen.receipts.data.ExtractionReceipt` as a plain dict.
    """

    ui_color = "#f0f0e8"

    def __init__(self, *, scope: Scope, poll_s: float = 300, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scope: Scope = scope
        self.poll_s = poll_s

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, and come back later if a day is not there."""
        return self.resume(context)

    def resume(
        self, context: Context, event: Any = None, deadline: str | None = None
    ) -> dict[str, Any]:
        """
        Read again after a wait; without *deadline* the wait begins now.

        :raises MissingPartitionError: If the deadline passed and a day still has no row.
        """
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

        from evergreen.data.extraction import extract_days, require_rows
        from evergreen.data.sources import open_source

        now = datetime.now(UTC)
        with self.task(context):
            as_of = as_of_of(context, now=now)
            days = days_needed(
                self.spec, as_of=as_of, scope=self.scope, first_day=first_day_of(context)
            )
            connection = BaseHook.get_hook(str(self.spec.source.connection))
            source = open_source(self.spec, connection)
            found = extract_days(self.store, self.spec, source, days=days, as_of=as_of)
            absent = missing(self.store, needed(self.spec, days=days))
            refuse_days_before_data(self.store, self.spec, absent)
        self._log(found)
        hours = self.spec.source.wait_hours
        end = datetime.fromisoformat(deadline) if deadline else now + timedelta(hours=hours)
        if found.empty and now < end:
            self.defer(
                trigger=TimeDeltaTrigger(timedelta(seconds=self.poll_s)),
                method_name="resume",
                kwargs={"deadline": end.isoformat()},
            )
        require_rows(found, waited_hours=hours)
        return found.model_dump(mode="json")

    def _log(self, found: ExtractionReceipt) -> None:
        self.log.info(
            "%d days were read, %d of them are new or changed, %d have no row",
            found.days_read,
            len(found.landed),
            len(found.empty),
        )
        if found.landed:
            log_table(
                self.log,
                "Landed (newest ten)",
                ("object", "rows"),
                list(found.landed.items())[-10:],
            )


def extract_data(spec: ModelSpec, *, scope: Scope) -> list[ExtractDataOperator]:
    """Return the task that lands the days of *spec*; none for files, which a producer lands."""
    if not spec.source.extracted:
        return []
    limit = timedelta(hours=spec.source.wait_hours + 1)
    return [
        ExtractDataOperator(
            task_id="extract_data", model=spec.model, scope=scope, execution_timeout=limit
        )
    ]
