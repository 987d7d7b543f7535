"""Settle when a run lives, then wait for the data it needs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSkipException

from evergreen.data.partitions import (
    Partition,
    Scope,
    days_needed,
    explain_missing,
    missing,
    partitions_of,
    refuse_days_before_data,
)
from evergreen.data.window import scoring_day, training_window
from evergreen.receipts.common import RunReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.spec import ModelSpec, load_spec
from evergreen.storage.base import ObjectStore
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.run_context import as_of_of, first_day_of, parse_instant, reason_of
from evergreen_airflow.task import airflow_task
from evergreen_airflow.task_log import log_table
from evergreen_airflow.triggers.data import PartitionsTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


def skip_before_champion(store: ObjectStore, spec: ModelSpec, *, as_of: datetime) -> None:
    """
    Skip a task whose day nothing honest can say anything of.

    :raises AirflowSkipException: If the day lies before the first champion.
    :raises NoChampionError: If there was never one.
    """
    from evergreen.errors import NoChampionError
    from evergreen.registry.champions import scorer_of  # heavy: pandas

    ledger = ledger_store.read_ledger(store, spec.model)
    try:
        scorer_of(ledger, scoring_day(as_of), as_of=as_of)
    except NoChampionError as error:
        if ledger.outcomes:
            raise AirflowSkipException(str(error)) from error
        raise


class WaitForDataSensor(BaseSensorOperator):
    """
    Resolve the run's ``as_of`` and wait, without a worker slot, for every partition it needs.

    Safe to retry: it only looks.

    :param model: Name of the model. (templated)
    :param scope: ``training`` waits for the whole window, ``scoring`` for the days that ended in
        the run's data interval, ``monitoring`` for the newest of them and its predictions, if
        anything could make them.
    :param store_conn_id: Connection to the object store.
    :return: A :class:`~evergreen.receipts.common.RunReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#f0f0e8"

    def __init__(
        self,
        *,
        model: str,
        scope: Scope,
        store_conn_id: str = ObjectStoreHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.scope: Scope = scope
        self.store_conn_id = store_conn_id

    @cached_property
    def store(self) -> ObjectStore:
        """Return the object store, opened on the worker."""
        return ObjectStoreHook(self.store_conn_id).store

    def execute(self, context: Context) -> dict[str, Any]:
        """Return at once if everything is there, else hand over to the triggerer."""
        now = datetime.now(UTC)
        with airflow_task(self, context, model=self.model, store=lambda: self.store):
            as_of, spec = as_of_of(context, now=now), load_spec(self.model)
            if self.scope == "monitoring":
                skip_before_champion(self.store, spec, as_of=as_of)
            first = self._first_day(context, as_of=as_of)
            days = days_needed(spec, as_of=as_of, scope=self.scope, first_day=first)
            if all(day in spec.source.closed for day in days):
                raise AirflowSkipException(f"{days}: closed, by source.closed in model.yaml.")
            parts = partitions_of(spec, as_of=as_of, scope=self.scope, first_day=first)
            absent = list(missing(self.store, parts))
            refuse_days_before_data(self.store, spec, absent)
        self.log.info(
            "%s as of %s: needs %d partitions, %d are missing",
            self.model,
            as_of.isoformat(),
            len(parts),
            len(absent),
        )
        if absent:
            deadline = now + timedelta(hours=spec.source.wait_hours)
            self._log_missing(absent, deadline=deadline)
            self.defer(
                trigger=PartitionsTrigger(
                    store_conn_id=self.store_conn_id,
                    keys=[part.key for part in absent],
                    deadline=deadline.isoformat(),
                    poll_s=self.poke_interval,
                ),
                method_name="finish",
                kwargs={"as_of": as_of.isoformat()},
            )
        return self._receipt(context, as_of=as_of, partitions=len(parts))

    def _first_day(self, context: Context, *, as_of: datetime) -> date | None:
        """
        Return the first day that a score run answers for; None is the newest only.

        :raises AirflowSkipException: If no day ended within the run's data interval.
        """
        first = first_day_of(context) if self.scope == "scoring" else None
        if first is not None and first > scoring_day(as_of):
            raise AirflowSkipException(
                f"No UTC day ended between {context['data_interval_start']} and "
                f"{context['data_interval_end']}. The runs beside this one score all days."
            )
        return first

    def finish(self, context: Context, event: dict[str, Any], as_of: str) -> dict[str, Any]:
        """
        Go on after the wait.

        :raises MissingPartitionError: If the deadline passed and a partition is still missing.
        """
        spec, instant = load_spec(self.model), parse_instant(as_of)
        with airflow_task(self, context, model=self.model, store=lambda: self.store):
            first = self._first_day(context, as_of=instant)
            parts = partitions_of(spec, as_of=instant, scope=self.scope, first_day=first)
            if absent := list(missing(self.store, parts)):
                hours = spec.source.wait_hours
                raise explain_missing(absent, store_uri=self.store.uri, waited_hours=hours)
        return self._receipt(context, as_of=instant, partitions=len(parts))

    def _receipt(self, context: Context, *, as_of: datetime, partitions: int) -> dict[str, Any]:
        receipt = RunReceipt(
            model=self.model,
            as_of=as_of,
            reason=reason_of(context),
            partitions=partitions,
            first_day=self._first_day(context, as_of=as_of),
        )
        log_table(self.log, "What this run is", ("what", "value"), self._summary_rows(receipt))
        return receipt.model_dump(mode="json")

    def _summary_rows(self, receipt: RunReceipt) -> list[tuple[str, object]]:
        spec = load_spec(self.model)
        rows: list[tuple[str, object]] = [
            ("model", receipt.model),
            ("as of", receipt.as_of.isoformat()),
            ("because", receipt.reason),
            ("partitions", f"{receipt.partitions}, all landed"),
        ]
        if self.scope == "training":
            window = training_window(receipt.as_of, spec.window)
            return [
                *rows,
                ("fit on", window.fit),
                ("rank on", window.validation),
                ("judge on", window.test),
            ]
        verb = "score" if self.scope == "scoring" else "watch"
        days = days_needed(spec, as_of=receipt.as_of, scope=self.scope, first_day=receipt.first_day)
        return [*rows, (verb, days if len(days) > 1 else days.first)]

    def _log_missing(self, absent: list[Partition], *, deadline: datetime) -> None:
        rows = [(part.day, part.table, part.key) for part in absent[:20]]
        title = f"{len(absent)} partitions are missing; waiting until {deadline:%Y-%m-%d %H:%M} UTC"
        log_table(self.log, title, ("day", "table", "expected at"), rows)
