"""Tell people, through the Airflow connections the spec names."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

# airflow.sdk exports these too, but its stub does not say so.
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.log import redact  # type: ignore[attr-defined]  # documented, not exported

from evergreen.errors import SpecError, UpstreamFailedError
from evergreen.spec import ModelSpec, load_spec
from evergreen_airflow.run_context import is_backfill

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

#: A reason longer than this is cut; the log has all of it.
MAX_REASON_CHARS = 1_500
#: States of a run that has ended.
ENDED = ("success", "failed")


def alert(context: Context | dict[str, Any], spec: ModelSpec, *, title: str, body: str) -> None:
    """
    Send *body*, in Markdown, through every connection under ``alerts`` of *spec*.

    A connection that fails is logged and holds up neither the others nor the run: what is told
    stands in the task's log and in Airflow all the same.
    """
    if not spec.alerts.connections:
        return
    # Slow to import, and only needed when there is somebody to tell.
    from airflow.providers.apprise.notifications.apprise import AppriseNotifier
    from apprise import NotifyFormat

    for conn_id in spec.alerts.connections:
        notifier = AppriseNotifier(
            title=title, body=body, body_format=NotifyFormat.MARKDOWN, apprise_conn_id=conn_id
        )
        try:
            notifier.notify(context)  # type: ignore[no-untyped-call]
        except Exception:
            log.exception("%r could not be sent through connection %s", title, conn_id)
        else:
            log.info("sent %r through connection %s", title, conn_id)


def alert_failure(context: Context) -> None:
    """
    Alert people that a task failed for good: which, why, and where its log is.

    Airflow calls it (``on_failure_callback``) after the last try, in the task's own process, or in
    the DAG processor if that process was killed. A backfill sends no alert: the person who started
    it looks.
    A model whose spec cannot be read any more has no connections to alert through; Airflow shows
    that spec as an import error.
    """
    if is_backfill(context) or isinstance(context.get("exception"), UpstreamFailedError):
        return  # what failed before it was alerted when it failed
    dag_run, task = context["dag_run"], context["ti"]
    model = dag_run.dag_id.rpartition("__")[0]
    if not model:
        return  # not the DAG of a model
    try:
        spec = load_spec(model)
    except SpecError:
        log.warning("No alert was sent, for the spec of %s cannot be read.", model)
        return
    if not spec.alerts.connections:
        log.warning("No alert was sent: alerts.connections in model.yaml names no connection.")
        return
    index = "" if task.map_index in (None, -1) else f" [{task.map_index}]"
    body = (
        f"Task {task.task_id}{index} of run {dag_run.run_id} failed at try {task.try_number}, and "
        f"will not be tried again.\n\n{_reason(context)}\n\n"
        f"[Open its log in Airflow]({task.log_url})"
    )
    alert(context, spec, title=f"{model}: {task.task_id} of {dag_run.dag_id} failed", body=body)


def _reason(context: Context) -> str:
    """Return what went wrong, without secrets, as a block that Markdown leaves as it is."""
    error = context.get("exception")
    if error is None:
        text = "Airflow gives no reason; the log has it."
    elif isinstance(error, BaseException):
        text = f"{type(error).__name__}: {error}"
    else:
        text = str(error)
    text = str(redact(text))
    if len(text) > MAX_REASON_CHARS:
        text = f"{text[:MAX_REASON_CHARS]} ..."
    return "\n".join(f"    {line}" for line in text.splitlines())


def late_alert(spec: ModelSpec, *, answer_hours: float = 0) -> DeadlineAlert:
    """Return what tells of a run that has not ended in time; *answer_hours* are granted on top."""
    hours = spec.alerts.late_after_hours + answer_hours
    return DeadlineAlert(
        name="late",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=AsyncCallback(alert_late, kwargs={"model": spec.model, "hours": hours}),
    )


async def alert_late(*, model: str, hours: float, context: dict[str, Any]) -> None:
    """
    Tell that the run of *context* is late; a backfill has no hour to be ready by.

    Airflow forgets a deadline only when the run succeeds, so a run that failed in time comes here
    too. It has ended, and its failure was alerted when it happened.
    """
    run = context["dag_run"]
    if run["run_type"] == "backfill" or run.get("state") in ENDED:
        return
    title = f"{model}: {run['dag_id']} is late"
    body = (
        f"Run {run['dag_run_id']} has not ended {hours:g} hours after it was queued. Open it in "
        "Airflow: its grid shows which task it waits for. The champion goes on serving."
    )
    log.warning("%s: %s", title, body)
    # The notifier asks for its connection and sends in turn; the triggerer must not wait for it.
    await asyncio.to_thread(alert, context, load_spec(model), title=title, body=body)
