"""
# Promote

Copy a version that passed its gates to another environment: dev, staging, prod. Its artifact, its identity
and its training data are copied. **It is evaluated again there**: compared with the champion of that environment,
on the version's own test rows, with every gate. Where the spec requires approval, a person approves that
evaluation. Then it is deployed like any version, shadow and canary included.

It **checks and evaluates everything and writes nothing** until a run unticks dry run.

An environment is two Airflow connections, `object_store_<name>` and `mlflow_<name>`, for the values of *To*.

| | |
|---|---|
| **Reads** | version, identity and examples here; the champion there |
| **Writes** | in the other environment the version with its evaluation and evidence, and the champion if it passes; both ledgers |
| **Safe to re-run** | Yes. A retried or cleared run promotes the version that it chose first. Existing objects are found by their key. |
| **Safe to backfill** | No schedule, so nothing to backfill. |

A version that misses a gate there, or that a person rejects, is a green run: it is registered there, the champion
there stays, and `deploy_model` logs the reason.

**When it fails**

* `promote_model`, PromotionError: the version may not be promoted; the error has the reason and what to do.
* `promote_model`, ArtifactError: an artifact, evidence or data is damaged or missing, here or there; the error
  names it. Restore it from a backup.
* `deploy_model`, PromotionError: another version was promoted there after this one was evaluated. Clear `promote_model`
  with the tasks after it.
* Anything else was already retried twice: the store or registry there does not respond. Page the owner.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Param, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import late_alert
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, tags_of
from evergreen_airflow.operators.approval import approve_promotion
from evergreen_airflow.operators.promotion import (
    REGISTRY_THERE,
    STORE_THERE,
    DeployPromotedOperator,
    PromoteModelOperator,
)
from evergreen_airflow.params import (
    checked_first_param,
    force_param,
    reason_param,
    version_param,
)

TO = Param(
    "staging",
    type="string",
    pattern="^[a-z][a-z0-9_]*$",
    maxLength=40,
    title="To",
    description="The environment: its connections are object_store_<name> and mlflow_<name>.",
)


def promote(spec: ModelSpec) -> None:
    """Make the promote DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__promote",
        description=f"Copy a version of {spec.model} to another environment",
        schedule=None,
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        deadline=late_alert(spec, answer_hours=spec.deployment.answer_hours),
        params={
            "version": version_param(
                "The version to promote; the Model tab lists them. Empty: the champion."
            ),
            "to": TO,
            "reason": reason_param(kept_in="both ledgers"),
            "dry_run": checked_first_param("Check everything and write nothing."),
            "force": force_param(
                "Take a version that never served here or was rolled back; never an ungated one."
            ),
        },
        tags=tags_of(spec, "promote"),
        doc_md=__doc__,
    )
    def build() -> None:
        there = {"store_conn_id": STORE_THERE, "registry_conn_id": REGISTRY_THERE}
        promote = PromoteModelOperator(task_id="promote_model", model=spec.model)
        approve = approve_promotion(
            spec, registration=promote.output, environment="{{ params.to }}", **there
        )
        deploy = DeployPromotedOperator(
            task_id="deploy_model",
            model=spec.model,
            registration=promote.output,
            approval=approve.output if approve else None,
            execution_timeout=timedelta(hours=spec.deployment.longest_hours + 1),
            **there,
        )

        promote >> deploy

    build()


build_dags("promote", promote)
