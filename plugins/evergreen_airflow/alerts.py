"""Tell people, through the Airflow connections the spec names."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

# airflow.sdk exports these too, but its stub does not say so.
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from evergreen.spec import ModelSpec, load_spec

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


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
            log.exception("%r could not be told through connection %s", title, conn_id)
        else:
            log.info("told %r through connection %s", title, conn_id)


def late_alert(spec: ModelSpec, *, answer_hours: float = 0) -> DeadlineAlert:
    """Return what tells of a run that has not ended in time; *answer_hours* are granted on top."""
    hours = spec.alerts.late_after_hours + answer_hours
    return DeadlineAlert(
        name="late",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=AsyncCallback(tell_late, kwargs={"model": spec.model, "hours": hours}),
    )


async def tell_late(*, model: str, hours: float, context: dict[str, Any]) -> None:
    """Tell that the run of *context* is late; a backfill has no hour to be ready by."""
    run = context["dag_run"]
    if run["run_type"] == "backfill":
        return
    title = f"{model}: {run['dag_id']} is late"
    body = (
        f"Run {run['dag_run_id']} has not ended {hours:g} hours after it was queued. Open it in "
        "Airflow: its grid shows which task it waits for. The champion goes on serving."
    )
    log.warning("%s: %s", title, body)
    # The notifier asks for its connection and sends in turn; the triggerer must not wait for it.
    await asyncio.to_thread(alert, context, load_spec(model), title=title, body=body)
