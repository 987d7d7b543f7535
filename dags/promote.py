"""
# Promote

Bring a version that passed its gates to another environment, with its evidence, the digest of its
artefact and the days it learnt from: dev, staging, prod. There it takes the way of any version, shadow
and canary included where the spec asks for them. It **checks everything and writes nothing** until
a run unticks dry run.

An environment is two Airflow connections, `object_store_<name>` and `mlflow_<name>`, for the values of *To*.

| | |
|---|---|
| **Reads** | version, evidence, identity and examples here |
| **Writes** | the same there; the champion there; both ledgers |
| **Safe to re-run** | Yes. What is there already is found by its key, and said once. |
| **Safe to backfill** | No schedule, so nothing to backfill. |

**When it fails**

* `promote_model`, PromotionError: the version may not go, or another one was promoted there meanwhile; the
  error says which and what to do. Nothing serves that did not serve before.
* `promote_model`, ArtefactError: evidence, artefact or data is damaged; it is named. Restore it from a backup.
* Anything else was already retried twice: store or registry there do not answer. Page the owner.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import Param, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, tags_of
from evergreen_airflow.operators.promotion import PromoteModelOperator

VERSION = Param(
    None,
    type=["null", "integer"],
    minimum=1,
    title="Version",
    description="The version that shall go; the Model tab lists them. Empty: the champion.",
)
TO = Param(
    "staging", type="string", pattern="^[a-z][a-z0-9_]*$", maxLength=40, title="To",
    description="The environment: its connections are object_store_<name> and mlflow_<name>.",
)  # fmt: skip
WHY = Param(
    "", type="string", minLength=0, maxLength=500, title="Reason",
    description="Why, in a few words; kept in both ledgers for good.",
)  # fmt: skip
DRY_RUN = Param(
    True, type="boolean", title="Dry run", description="Check everything and write nothing."
)
FORCE = Param(
    False,
    type="boolean",
    title="Force",
    description="Take a version that never served here or was rolled back; never an ungated one.",
)


def promote(spec: ModelSpec) -> None:
    """Make the promote DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__promote",
        description=f"Bring a version of {spec.model} to another environment",
        schedule=None,
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        params={
            "version": VERSION,
            "to": TO,
            "reason": WHY,
            "dry_run": DRY_RUN,
            "force": FORCE,
        },
        tags=tags_of(spec, "promote"),
        doc_md=__doc__,
    )
    def build() -> None:
        PromoteModelOperator(task_id="promote_model", model=spec.model)

    build()


build_dags("promote", promote)
