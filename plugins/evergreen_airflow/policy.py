"""
Airflow cluster policy: backfills run in a pool of their own, so that they never delay the nightly.

Airflow reads it from ``airflow_local_settings.py`` on its path, which needs one line::

    from evergreen_airflow.policy import task_instance_mutation_hook
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.configuration import conf

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance


def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """
    Put every task of a backfill run into the pool ``[evergreen] backfill_pool``.

    Without that option nothing changes. A pool that a task names itself is left alone. The pool
    must exist: Airflow lets a task of an unknown one wait for ever, without a word.
    """
    pool = conf.get("evergreen", "backfill_pool", fallback="")
    if pool and dag_run is not None and task_instance.pool in ("default_pool", pool):
        is_backfill = dag_run.run_type == "backfill"
        task_instance.pool = pool if is_backfill else "default_pool"
