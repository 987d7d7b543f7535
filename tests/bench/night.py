"""
Measure nights through the real scheduler against the plain script, in turn, on this machine.

CPU is user plus system seconds of every process a night causes: for the script itself and MLflow's
server, for Evergreen every process of the stack, its idling included. Ratios, not seconds, are the
result. The script leaves MLflow's dependency inference off, as Evergreen does.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import free_port

from evergreen_airflow.embedded import processes, stack
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.runs import run_dag
from evergreen_airflow.embedded.settings import read_settings

FIRST = datetime(2013, 7, 1, tzinfo=UTC)
NIGHTS = int(os.environ.get("NIGHTS", "3"))
PORTS = ("AIRFLOW", "MLFLOW", "WORKER_LOG", "TRIGGERER_LOG", "POSTGRES")


def stack_cpu(settings, *, only: str = "") -> float:
    """CPU seconds of the stack's living processes and of their children that have ended."""
    total = 0.0
    for process in processes.ours(settings):
        try:
            if only not in " ".join(process.cmdline()):
                continue
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def own_children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(work: Callable[[], object], cpu: Callable[[], float]) -> SimpleNamespace:
    before, started = cpu(), time.monotonic()
    work()
    wall = time.monotonic() - started
    return SimpleNamespace(cpu=cpu() - before, wall=wall)


def main() -> None:
    console, quiet = Console(), Console(file=io.StringIO())
    with tempfile.TemporaryDirectory(prefix="eg-") as home:
        ports = {f"EVERGREEN_{name}_PORT": str(free_port()) for name in PORTS}
        asked = {"EVERGREEN_HOME": home, "EVERGREEN_SCHEDULES": "off", "EVERGREEN_SERVING": "off"}
        settings = read_settings(asked | ports)
        try:
            known = stack.up(settings, quiet)
            api = AirflowApi(settings, password=known["admin_password"])
            last = FIRST + timedelta(days=NIGHTS)
            run_dag(
                api, "flights_feed", run_id="feed", conf={"as_of": last.isoformat()}, console=quiet
            )
            rows = [
                one_night(settings, api, FIRST + timedelta(days=n), quiet) for n in range(NIGHTS)
            ]
        finally:
            stack.down(settings, quiet)
    columns = ("night", "plain CPU s", "our CPU s", "ratio", "plain wall s", "our wall s", "ratio")
    table = Table(*columns, title="A night against the plain script")
    for night, plain, ours in rows:
        table.add_row(
            f"{night:%Y-%m-%d}",
            f"{plain.cpu:.1f}", f"{ours.cpu:.1f}", f"{ours.cpu / plain.cpu:.2f}",
            f"{plain.wall:.1f}", f"{ours.wall:.1f}", f"{ours.wall / plain.wall:.2f}",
        )  # fmt: skip
    console.print(table)
    console.print(
        "Evergreen's night has gates, contract, ledger and evidence; the script has none."
    )


def one_night(settings, api: AirflowApi, as_of: datetime, quiet: Console):
    """Return the night, the plain script's cost and ours; the script goes first, in turn."""
    script = [sys.executable, str(Path(__file__).with_name("plain_script.py")),
              str(settings.store / "raw"), settings.mlflow_url, f"{as_of:%Y-%m-%d}"]  # fmt: skip
    env = os.environ | {"OMP_NUM_THREADS": "1"}

    def plain() -> None:
        subprocess.run(script, check=True, env=env, stdout=subprocess.DEVNULL)

    def ours() -> None:
        for dag_id, instant in (
            ("flight_delay__retrain", as_of),
            ("flight_delay__score", as_of + timedelta(days=1)),
        ):
            run_dag(
                api,
                dag_id,
                run_id=f"bench__{instant:%Y-%m-%d}",
                conf={"as_of": instant.isoformat()},
                console=quiet,
            )

    # MLflow's server works for the script too; Airflow's idling beside it is not the script's.
    script_cost = measured(plain, lambda: own_children_cpu() + stack_cpu(settings, only="mlflow"))
    return as_of, script_cost, measured(ours, lambda: stack_cpu(settings))


if __name__ == "__main__":
    main()
