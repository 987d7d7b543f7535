"""
# Reproduce

Fit a registered version again from its recorded data, code and spec, and compare digests and metrics. Red if
the model or a metric differs.

| | |
|---|---|
| **Reads** | the version's identity and examples in the object store; its tags in MLflow |
| **Writes** | nothing but its log |
| **Safe to re-run** | Yes. |
| **Safe to backfill** | No schedule, so nothing to backfill. |

**When it fails**

* `reproduce_version`: the log compares now with then, line by line. "unknown" marks what changed since
  (code, a library, a corrected raw day); check out the commit it names and run it there.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import Param, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, tags_of
from evergreen_airflow.operators.reproduction import ReproduceVersionOperator

VERSION = Param(
    1, type="integer", minimum=1, title="Version", description="The version to fit again."
)


def reproduce(spec: ModelSpec) -> None:
    """Make the reproduce DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__reproduce",
        description=f"Fit a version of {spec.model} again and compare",
        schedule=None,
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        params={"version": VERSION},
        tags=tags_of(spec, "reproduce"),
        doc_md=__doc__,
    )
    def build() -> None:
        ReproduceVersionOperator(task_id="reproduce_version", model=spec.model)

    build()


build_dags("reproduce", reproduce)
