"""
# Roll back

Make an earlier version champion again, by hand. It is loaded and scores its own example before
anything moves. Without a version it is the last champion before the present one, by the ledger; a
challenger that was never champion is not used. It also repairs an alias that was moved by hand.

| | |
|---|---|
| **Reads** | the ledger; the version in MLflow and its artifact |
| **Writes** | the champion alias; two entries in the ledger, with your name and reason |
| **Safe to re-run** | Yes. One run rolls back once, however often it is retried or cleared. To roll back once more, start a new run. |
| **Safe to backfill** | No schedule, so nothing to backfill. |

It starts as a **dry run**: everything is checked, nothing moves. Untick it to act. A version that was
rolled back never serves again automatically; only this DAG with **force** can restore it.

**When it fails**

* `roll_back_model`, RollbackError: the version never served, missed a gate, or there is none before this
  one. The log lists the versions that may serve. Force overrides this, and the ledger records it.
* `roll_back_model`, ArtifactError: the target cannot be loaded or its bytes differ. The
  champion still serves. Choose another version.
* Anything else was already retried twice. Page the owner.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from evergreen.spec import ModelSpec
from evergreen_airflow.assets import champion_moves
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, INTERACTIVE_PRIORITY, tags_of
from evergreen_airflow.operators.rollback import RollBackModelOperator
from evergreen_airflow.params import (
    SERVES_FROM,
    checked_first_param,
    force_param,
    reason_param,
    version_param,
)


def rollback(spec: ModelSpec) -> None:
    """Make the rollback DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__rollback",
        description=f"Make an earlier version of {spec.model} champion again",
        schedule=None,
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        params={
            "version": version_param(
                "The version that should serve; the Model tab of this DAG lists them with scores. "
                "Empty: the last champion before the present one."
            ),
            "reason": reason_param(kept_in="the ledger"),
            "dry_run": checked_first_param("Check everything and move nothing."),
            "force": force_param(
                "Take a version that never served, missed a gate or was rolled back before."
            ),
            "serves_from": SERVES_FROM,
        },
        tags=tags_of(spec, "rollback"),
        doc_md=__doc__,
    )
    def build() -> None:
        RollBackModelOperator(
            task_id="roll_back_model",
            model=spec.model,
            outlets=[champion_moves(spec)],
            priority_weight=INTERACTIVE_PRIORITY,
        )

    build()


build_dags("rollback", rollback)
