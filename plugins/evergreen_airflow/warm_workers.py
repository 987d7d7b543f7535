"""
Which heavy modules the parent of all tasks imports once; forked tasks start with them.

Only where tasks are forked: LocalExecutor's forkserver and Celery's workers. Never in the API
server, the DAG processor or the triggerer, which need none of it. ``EVERGREEN_WARM_WORKERS=off``
leaves them out everywhere: each task then imports what it needs, and pays for it.

Importing them starts no thread and opens no connection, so that the fork is safe
(``tests/plugins/evergreen_airflow/test_warm_workers.py``); nothing is fitted in the parent.
"""

from __future__ import annotations

#: The variable that switches it, and what it means by default.
VARIABLE, ON, OFF = "EVERGREEN_WARM_WORKERS", "on", "off"

#: Modules, not packages: what a package imports lazily would be imported by each task again.
MODULES = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "pandas",
    "pyarrow.parquet",
    "sklearn.ensemble",
    "sklearn.compose",
    "sklearn.linear_model",
    "skops.io",
    "pandera.pandas",
    "mlflow.sklearn",
    "mlflow.tracking",
    "evidently",
    "evidently.presets",
)
