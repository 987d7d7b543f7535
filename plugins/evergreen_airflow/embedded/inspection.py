"""Ask a running stack whether all that must hold does, and whether a version comes out the same."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evergreen_airflow.embedded import stack
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.runs import run_dag
from evergreen_airflow.embedded.settings import Settings


def check_state(settings: Settings, *, model: str) -> int:
    """Print every invariant of *model*; return 0 if all hold, else 1."""
    # In a process without Airflow: what loads models looks into every imported module.
    command = [
        sys.executable,
        "-m",
        "evergreen",
        "check-invariants",
        "--model",
        model,
        "--store",
        settings.store.as_uri(),
        "--mlflow",
        settings.mlflow_url,
    ]
    return subprocess.run(command, env=os.environ | stack.variables(settings)).returncode


def open_evidently(settings: Settings, *, model: str, port: int) -> int:
    """Put every kept drift report into Evidently's own dashboard and serve it until interrupted."""
    folder = settings.home / "evidently"
    environ = os.environ | {"DO_NOT_TRACK": "1"}
    fill = [
        sys.executable,
        "-m",
        "evergreen",
        "evidently-workspace",
        "--model",
        model,
        "--store",
        settings.store.as_uri(),
        "--folder",
        str(folder),
    ]
    if failed := subprocess.run(fill, env=environ).returncode:
        return failed
    serve = [
        str(Path(sys.executable).with_name("evidently")),
        "ui",
        "--workspace",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return subprocess.run(serve, env=environ).returncode


def reproduce(
    settings: Settings, *, password: str, model: str, version: int, console: Console
) -> None:
    """
    Make a version again through its DAG and print what the task found.

    :raises StackError: If it is not the same; the end of the log is in the message.
    """
    api = AirflowApi(settings, password=password)
    dag_id, run_id = f"{model}__reproduce", f"make__{version}__{datetime.now(UTC):%Y%m%dT%H%M%S}"
    run_dag(api, dag_id, run_id=run_id, conf={"version": version}, console=console)
    found = api.receipt(dag_id, run_id, "reproduce_version")
    table = Table("what", "now", "then", "verdict", title=f"{model} version {version}")
    for check in found["checks"]:
        table.add_row(check["name"], check["measured"], check["required"], check["status"])
    console.print(table)
