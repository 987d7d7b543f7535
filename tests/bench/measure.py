"""CPU, time and memory of everything a piece of work causes, in whatever process."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import psutil
from tests.support.stack import Stack

from evergreen_airflow.embedded import processes

#: A word of the command line that only this program's processes have.
PROGRAMS = {
    "tasks": "airflow worker",
    "forkserver": "forkserver",
    "scheduler": "airflow scheduler",
    "API server": "airflow api",
    "DAG processor": "dag-processor",
    "triggerer": "airflow triggerer",
    "MLflow": "mlflow",
    "PostgreSQL": "postgres",
}


@dataclass(frozen=True, kw_only=True)
class Used:
    """CPU seconds (user and system), seconds on the clock, most bytes of one process."""

    cpu: float
    wall: float
    peak: float = 0.0


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


def cpu_by_program(settings) -> dict[str, float]:
    """Return the CPU seconds of each program of the stack, ended children included."""
    return {name: stack_cpu(settings, only=word) for name, word in PROGRAMS.items()}


def _own_children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(work: Callable[[], object], cpu: Callable[[], float]) -> Used:
    before, started = cpu(), time.monotonic()
    peak = work()
    wall = time.monotonic() - started
    return Used(cpu=cpu() - before, wall=wall, peak=peak if isinstance(peak, float) else 0.0)


def measured_script(stack: Stack, message: list[str]) -> Used:
    """
    Run Python with *words* beside the stack, with one thread as tasks have.

    MLflow's server works for the script too and is counted; Airflow's idling beside it is not.
    """
    environ = {"PYTHONPATH": stack.environ["PYTHONPATH"]}
    return measured(
        lambda: _run_child([sys.executable, *message], environ),
        lambda: _own_children_cpu() + stack_cpu(stack.settings, only="mlflow"),
    )


def _run_child(command: list[str], environ: dict[str, str]) -> float:
    """Run a command to its end and return its most bytes."""
    env = os.environ | environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise RuntimeError(f"{command} ended with {status}")
    return used.ru_maxrss * 1024.0


class Memory(threading.Thread):
    """While it runs, looks at every task's process: all it can see, and what is its own alone."""

    def __init__(self, settings) -> None:
        super().__init__(daemon=True)
        self.settings, self.all, self.own, self.ended = settings, 0, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            for process in processes.ours(self.settings):
                try:
                    if "airflow worker --" in " ".join(process.cmdline()):
                        found = process.memory_full_info()
                        self.all, self.own = max(self.all, found.rss), max(self.own, found.uss)
                except psutil.Error:
                    continue

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


#: What a task's log says of its cost.
COST = re.compile(r"Cost: ([\d.]+) CPU s in ([\d.]+) s, (\d+) MB of .*, ([\d.]+) MB read")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """
    One task of a run: what its stage took, and what running it as a task took on top.

    CPU seconds, seconds, the most memory and the objects it read in MB, seconds.
    """

    name: str
    cpu: float
    body: float
    peak: float
    read: float
    overhead: float


def stages(stack: Stack, dag_id: str, run_id: str) -> list[Stage]:
    """
    Return the tasks of a run that wrote what they cost, in order.

    Overhead is all the time from the end of the task before, or the start of the run, to the end
    of this one that the stage itself did not take: queueing, forking, parsing, answering.
    """
    run = stack.api.get(f"/dags/{dag_id}/dagRuns/{run_id}")
    ended = [datetime.fromisoformat(run["queued_at"])]
    found = []
    tasks = [t for t in stack.api.tasks(dag_id, run_id) if t["end_date"] and t["start_date"]]
    for task in sorted(tasks, key=lambda t: t["end_date"]):
        start, end = (datetime.fromisoformat(task[k]) for k in ("start_date", "end_date"))
        text = "\n".join(stack.api.log(dag_id, run_id, task))
        before = max((e for e in ended if e <= start), default=start)
        ended.append(end)
        if cost := COST.search(text):
            cpu, body, peak, read = map(float, cost.groups())
            name = f"{dag_id.rpartition('__')[2]}: {task['task_id']}" + (
                f" {task['rendered_map_index']}" if task["map_index"] >= 0 else ""
            )
            overhead = (end - before).total_seconds() - body
            found.append(
                Stage(name=name, cpu=cpu, body=body, peak=peak, read=read, overhead=overhead)
            )
    return found


def middle(values: list[float]) -> float:
    return median(values) if values else float("nan")
