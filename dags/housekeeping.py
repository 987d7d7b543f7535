"""
# Housekeeping

Every Sunday, check every invariant, then delete what is older than `retention` in the spec allows. What an
alias or the ledger names is kept forever: champions, rollback targets and every version that ever served.

It **lists and deletes nothing** until the spec says `retention: {delete: true}`, or a run unticks dry run.

| | |
|---|---|
| **Reads** | the ledger; versions and runs in MLflow; the object store |
| **Writes** | deletes old versions with their runs, reports, predictions and unfinished writes; keeps a list of what was deleted |
| **Safe to re-run** | Yes. An object that is already deleted is no error. |
| **Safe to backfill** | Yes, and pointless: age counts from today. |

**When it fails**

* `check_state`: an invariant does not hold; the log names it, and nothing is deleted. Repair a moved
  alias with the rollback DAG; restore a damaged object from a backup.
* Anything else was already retried twice. Page the owner.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import CronDataIntervalTimetable, Param, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import late_alert
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, allowed_run_types, tags_of
from evergreen_airflow.operators.housekeeping import CheckStateOperator, RemoveExpiredOperator


def housekeeping(spec: ModelSpec) -> None:
    """Make the housekeeping DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__housekeeping",
        description=f"Check the state of {spec.model} and delete what is too old",
        schedule=CronDataIntervalTimetable("0 12 * * 0", timezone=spec.timezone),
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        allowed_run_types=allowed_run_types(),
        max_active_runs=1,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        deadline=late_alert(spec),
        params={
            "dry_run": Param(
                not spec.retention.delete,
                type="boolean",
                title="Dry run",
                description="List what is too old and delete nothing.",
            )
        },
        tags=tags_of(spec, "housekeeping"),
        doc_md=__doc__,
    )
    def build() -> None:
        check = CheckStateOperator(task_id="check_state", model=spec.model)
        remove = RemoveExpiredOperator(task_id="remove_expired", model=spec.model)

        check >> remove

    build()


build_dags("housekeeping", housekeeping)
