"""Tell people, through the Airflow connections the spec names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from evergreen.spec import ModelSpec

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def alert(context: Context, spec: ModelSpec, *, title: str, body: str) -> None:
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
