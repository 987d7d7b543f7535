"""Trigger a run, follow it to its end, and say what went wrong."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from evergreen.errors import StackError
from evergreen_airflow.embedded.api import FINISHED, AirflowApi

PARSED_WITHIN_S = 120
RUN_WITHIN_S = 1200


def run_dag(
    api: AirflowApi, dag_id: str, *, run_id: str, conf: dict[str, Any], console: Console
) -> None:
    """
    Trigger a run and follow it to its end.

    :param conf: Values for the run's params.
    :raises StackError: With the end of the log of each failed task, if the run fails.
    """
    _wait_until_parsed(api, dag_id)
    api.trigger(dag_id, run_id=run_id, conf=conf)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        bar = progress.add_task(dag_id)
        give_up = time.monotonic() + RUN_WITHIN_S
        while (state := api.state(dag_id, run_id)) not in FINISHED:
            progress.update(bar, description=f"{dag_id}: {_where(api.tasks(dag_id, run_id))}")
            if time.monotonic() > give_up:
                raise StackError(f"{dag_id} {run_id} is still {state} after {RUN_WITHIN_S} s.")
            time.sleep(1)
        progress.update(bar, description=f"{dag_id}: {state}")
    if state == "failed":
        raise StackError(_explain_failure(api, dag_id, run_id))


def _where(tasks: list[dict[str, Any]]) -> str:
    done = sum(task["state"] == "success" for task in tasks)
    now = sorted({t["task_id"] for t in tasks if t["state"] in ("running", "queued", "deferred")})
    return f"{done} of {len(tasks)} tasks done" + (f", at {', '.join(now)}" if now else "")


def _wait_until_parsed(api: AirflowApi, dag_id: str) -> None:
    give_up = time.monotonic() + PARSED_WITHIN_S
    while not api.has_dag(dag_id):
        if errors := api.import_errors():
            raise StackError(f"{dag_id} cannot be parsed:\n" + "\n".join(errors))
        if time.monotonic() > give_up:
            raise StackError(f"{dag_id} was not parsed within {PARSED_WITHIN_S} s.")
        time.sleep(0.5)


def _explain_failure(api: AirflowApi, dag_id: str, run_id: str) -> str:
    lines = [f"{dag_id} {run_id} failed."]
    for task in api.tasks(dag_id, run_id):
        if task["state"] == "failed":
            lines += [f"--- {task['task_id']}", *list(api.log(dag_id, run_id, task))[-12:]]
    return "\n".join(lines)
