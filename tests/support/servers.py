"""MLflow servers for tests, and waiting for conditions."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

DATABASE = "mlflow.db"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(
    is_true: Callable[[], bool], *, within_s: float, what: str, every_s: float = 0.2
) -> None:
    give_up = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < give_up, f"waited {within_s} s for {what}"
        time.sleep(every_s)


def start_mlflow(home: Path) -> tuple[str, subprocess.Popen]:
    """Start a server on SQLite as the embedded stack does; return its address and process."""
    home.mkdir(exist_ok=True)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "-w",
        "1",
        "--backend-store-uri",
        f"sqlite:///{home}/{DATABASE}",
        "--serve-artifacts",
        "--artifacts-destination",
        str(home / "artifacts"),
    ]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    wait_until(lambda: answers(port), within_s=120, what=f"MLflow, see {home}/log")
    return f"http://127.0.0.1:{port}", server


@contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    """Run a server of the test's own; yield its address."""
    url, server = start_mlflow(home)
    with server:
        try:
            yield url
        finally:
            os.killpg(server.pid, 15)


def copy_mlflow(home: Path, to: Path) -> None:
    """Copy the data of a server that may be writing meanwhile."""
    shutil.copytree(home, to, ignore=shutil.ignore_patterns(f"{DATABASE}*", "log"))
    with (
        closing(sqlite3.connect(home / DATABASE)) as source,
        closing(sqlite3.connect(to / DATABASE)) as copy,
    ):
        source.backup(copy)
