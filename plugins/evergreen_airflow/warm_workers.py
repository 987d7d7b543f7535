"""
Which heavy modules the parent of all tasks imports once; forked tasks start with them.

Only where tasks are forked: LocalExecutor's forkserver and Celery's workers. Never in the API
server, the DAG processor (see ``warm_parsing``) or the triggerer, which need none of it.
``EVERGREEN_WARM_WORKERS=off`` leaves them out everywhere: each task then imports what it needs, and
pays for it.

Evergreen's own modules are among them, so that a new release needs a restart of scheduler or
workers, as any plugin of Airflow does; DAG files and ``models.*`` are read by each task anew.

Importing them starts no thread and opens no connection, so that the fork is safe
(``tests/plugins/evergreen_airflow/test_warm_workers.py``); nothing is fitted in the parent, and
only ``evergreen.preload_models`` does something: what libraries do once in a process, when it makes
its first report and saves its first model.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from types import ModuleType

import evergreen
from evergreen import (
    data,
    modeling,
    monitoring,
    operations,
    receipts,
    registry,
    release,
    reporting,
    scoring,
    storage,
)
from evergreen.data import sources
from evergreen_airflow import operators, sensors

#: The variable that switches it, and what it means by default.
VARIABLE, ON, OFF = "EVERGREEN_WARM_WORKERS", "on", "off"

#: Modules, not packages: what a package imports lazily would be imported by each task again. Some
#: are named only because their libraries put them off until they are first used.
LIBRARIES = (
    "airflow.dag_processing.dagbag",
    "airflow.executors.local_executor",
    "airflow.providers.standard.operators.hitl",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "pandas",
    "pyarrow.parquet",
    "sklearn.ensemble",
    "sklearn.compose",
    "sklearn.inspection",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "skops.io",
    "pandera.pandas",
    "pandera.accessors.pandas_accessor",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.builtin_hypotheses",
    "pandera.backends.pandas.register",
    "pandera.strategies.pandas_strategies",
    "mlflow.artifacts",
    "mlflow.pyfunc.model",
    "mlflow.sklearn",
    "mlflow.tracking",
    "mlflow.tracking.request_header.databricks_request_header_provider",
    "mlflow.tracking.request_header.registry",
    "narwhals._interchange.dataframe",
    "narwhals._pandas_like.dataframe",
    "narwhals._pandas_like.namespace",
    "narwhals.stable.v2._namespace",
    "optuna",
    "evidently",
    "evidently.presets",
)


#: The command line and what only it imports; no task uses them.
COMMAND_LINE = ("evergreen.__main__", "evergreen.cli", "evergreen.settings")


def modules_in(package: ModuleType) -> Iterator[str]:
    """Name the modules of a package that tasks use, its subpackages left out."""
    for found in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}."):
        if not found.ispkg and found.name not in COMMAND_LINE:
            yield found.name


#: The packages that tasks use; the model server runs elsewhere.
PACKAGES = (
    evergreen,
    storage,
    receipts,
    data,
    sources,
    registry,
    modeling,
    reporting,
    scoring,
    release,
    monitoring,
    operations,
    operators,
    sensors,
)

MODULES = (*LIBRARIES, *(name for package in PACKAGES for name in modules_in(package)))
