"""Land raw days from a producer."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen.data.window import DayRange, whole_days_end
from evergreen.storage.base import ObjectStore
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.run_context import as_of_of
from evergreen_airflow.task import airflow_task
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class LandDaysOperator(BaseOperator):
    """
    Land the newest whole day, and those before it that are missing.

    Safe to retry: an object is written whole, and the same day has the same bytes.

    :param producer: Module with ``FIRST_DAY`` and ``land_days(store, days, replace=...)``.
    :param history_days: How many days before the newest are filled in if absent. (templated)
    :param store_conn_id: Connection to the object store.
    :return: Newest day and number of objects written.
    """

    template_fields: Sequence[str] = ("history_days",)
    ui_color = "#f0f0e8"

    def __init__(
        self,
        *,
        producer: str,
        history_days: int | str,
        store_conn_id: str = ObjectStoreHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.producer = producer
        self.history_days = history_days
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Land the days of the run's ``as_of``."""
        with airflow_task(self, context, model=self.producer, store=lambda: self.store):
            return self._land(context)

    @cached_property
    def store(self) -> ObjectStore:
        """Return the object store, opened on the worker."""
        return ObjectStoreHook(self.store_conn_id).store

    def _land(self, context: Context) -> dict[str, Any]:
        producer = importlib.import_module(self.producer)
        end = whole_days_end(as_of_of(context, now=datetime.now(UTC)))
        newest = end - timedelta(days=1)
        first: date = max(
            newest - timedelta(days=int(float(self.history_days))), producer.FIRST_DAY
        )
        written: dict[str, int] = producer.land_days(
            self.store,
            list(DayRange(first=first, end=end)),
            replace=frozenset({newest}),
        )
        self.log.info("%d objects landed for %s .. %s", len(written), first, newest)
        rows = list(written.items())[-10:]
        log_table(self.log, "Landed (newest ten)", ("object", "rows"), rows)
        return {"newest": str(newest), "objects": len(written)}
