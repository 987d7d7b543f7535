"""Settings every DAG of this project shares."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import (
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    conf,
)

from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import alert_failure

#: A verdict of ours is final; anything else (network, storage) may pass on the next try.
DO_NOT_RETRY_VERDICTS = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception="evergreen.errors.EvergreenError",
            action=RetryAction.FAIL,
            reason="the same inputs would fail the same way",
        )
    ]
)

#: Every kind of run but a backfill, as Airflow names them.
NOT_BACKFILL = (
    "scheduled",
    "manual",
    "operator_triggered",
    "asset_triggered",
    "asset_materialization",
)

DEFAULT_ARGS = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": DO_NOT_RETRY_VERDICTS,
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": alert_failure,
    # What is begun is ended first: of many models at once the first are ready soon, not all late.
    "weight_rule": "upstream",
}

#: Before every task of a night, however many wait.
INTERACTIVE_PRIORITY = 1_000


def allowed_run_types() -> list[str] | None:
    """
    Return which kinds of run the DAGs accept; None accepts all.

    On SQLite a backfill fails half-way and can delete the run it was to repeat (FACTS, "time"), so
    the embedded stack sets ``[evergreen] allow_backfills = False`` there, and Airflow refuses it
    before it touches anything. DAGs cannot ask for the database itself: Airflow hides it from them.
    """
    if not conf.getboolean("evergreen", "allow_backfills", fallback=True):
        return list(NOT_BACKFILL)
    return None


def tags_of(spec: ModelSpec, workflow: str) -> list[str]:
    """Return the tags of a model's DAG; the first two are a closed vocabulary."""
    return [f"model:{spec.model}", f"workflow:{workflow}", *spec.tags]
