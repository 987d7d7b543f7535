"""What every task does before and after its own work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evergreen.storage.base import ObjectStore
from evergreen_airflow.run_context import is_backfill, validate_conf
from evergreen_airflow.supervision import exit_with_supervisor, lower_priority
from evergreen_airflow.task_log import quiet_libraries
from evergreen_airflow.task_metrics import measured_cost, report_cost

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context


@contextmanager
def airflow_task(
    operator: BaseOperator,
    context: Context,
    *,
    model: str,
    store: Callable[[], ObjectStore],
) -> Iterator[None]:
    """
    Do the work of a task in the way of all tasks of Evergreen.

    The run's configuration is validated before anything happens. The process ends with its
    supervisor, and that of a backfill lets others go first. Libraries log warnings only. What the
    work cost is logged and handed to Airflow's metrics, if it succeeded.

    :param store: Opens the object store whose traffic is measured; not called for a run that is
        refused.
    :raises AsOfError: If the run's configuration has a key that DAG and task do not declare.
    """
    validate_conf(context)
    exit_with_supervisor()
    if is_backfill(context):
        lower_priority()
    with quiet_libraries(), measured_cost(store()) as cost:
        yield
    operator.log.info("Cost: %s", cost)
    report_cost(cost, model=model, task=operator.task_id)
