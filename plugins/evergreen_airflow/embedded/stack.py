"""Bring the embedded stack up until it is healthy, and down until nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from rich.console import Console

import evergreen_airflow
from evergreen.errors import StackError
from evergreen_airflow.embedded import database, processes
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.settings import (
    BACKFILL_POOL,
    BACKFILL_SLOTS,
    Settings,
    ensure_secrets,
    stack_environment,
    write_private,
)

HEALTHY_WITHIN_S = 300
#: Where Airflow looks for its cluster policy, in its home.
POLICY = "airflow_local_settings.py"
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def up(settings: Settings, console: Console) -> dict[str, str]:
    """
    Start whatever does not run yet and wait until all of it is healthy; return the secrets.

    A second call changes nothing.

    :raises StackError: If a port is taken, a process gives up, or the stack is not healthy in time.
    """
    is_up = bool(processes.states(settings))
    if is_up:
        console.print("The stack is up already.")
    else:
        _refuse_taken_ports(settings)
    known, is_first = ensure_secrets(settings)
    if not is_up:
        write_private(
            settings.home / "passwords.json", json.dumps({"admin": known["admin_password"]})
        )
        try:
            with console.status("Preparing Airflow's database"):
                _start(settings, known)
        except BaseException:
            processes.stop(settings)  # leave nothing half started behind
            raise
    with console.status("Starting") as status:
        _wait_until_healthy(
            settings, report=lambda waiting: status.update(f"Waiting for {waiting}")
        )
    AirflowApi(settings, password=known["admin_password"]).ensure_pool(
        BACKFILL_POOL, slots=BACKFILL_SLOTS, description="Backfills; leaves room for the nightly"
    )
    _print_addresses(settings, console, known if is_first else None)
    return known


def airflow(settings: Settings, arguments: Sequence[str]) -> int:
    """Run Airflow's own command line against this stack, and return its exit code."""
    command = [str(Path(sys.executable).with_name("airflow")), *arguments]
    return subprocess.run(command, env=os.environ | variables(settings)).returncode


def variables(settings: Settings) -> dict[str, str]:
    """Return the variables with which a process belongs to this stack."""
    known, _ = ensure_secrets(settings)
    chosen = database.choose(settings)
    address = database.url(settings, chosen, password=known["database_password"])
    return stack_environment(settings, known, database_url=address)


def down(settings: Settings, console: Console) -> None:
    """Stop exactly what :func:`up` started. Data stays in the folder."""
    with console.status("Stopping"):
        count = processes.stop(settings)
    console.print(
        f"Stopped {count} processes. Data stays in {settings.home}"
        if count
        else "Nothing was running."
    )


def _start(settings: Settings, known: dict[str, str]) -> None:
    """Start the database, bring its schema up to date, then start what needs it."""
    chosen, password = database.choose(settings), known["database_password"]
    address = database.url(settings, chosen, password=password)
    env = stack_environment(settings, known, database_url=address)
    _write_policy(settings)
    database.create_cluster(settings, chosen, password=password)
    processes.start(settings, env, chosen)
    if chosen.is_postgres:
        database.wait_until_ready(settings, password=password)
    _migrate(env)
    processes.start_services(settings)


def _write_policy(settings: Settings) -> None:
    """Let Airflow find the cluster policy; it looks for this module in its home."""
    folder = settings.home / "airflow" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(evergreen_airflow.__file__).with_name(POLICY), folder)


def _refuse_taken_ports(settings: Settings) -> None:
    for port in settings.ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port.number))
            except OSError as error:
                raise StackError(
                    f"Port {port.number} for {port.name} is taken ({error.strerror}). Nothing was "
                    f"started. Stop what listens there, or choose another: {port.variable}=<port>."
                ) from None


def _migrate(env: dict[str, str]) -> None:
    command = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise StackError(f"Airflow's database could not be prepared:\n{tail}")


def _wait_until_healthy(settings: Settings, *, report: Callable[[str], None]) -> None:
    give_up = time.monotonic() + HEALTHY_WITHIN_S
    while waiting := _unhealthy(settings):
        report(", ".join(waiting))
        found = processes.states(settings)
        if fatal := [
            name for name, state in found.items() if state in ("FATAL", "EXITED", "STOPPED")
        ]:
            raise StackError(
                f"{fatal[0]} gave up. The end of {settings.logs}/{fatal[0]}.log:\n"
                f"{processes.log_tail(settings, fatal[0])}"
            )
        if time.monotonic() > give_up:
            raise StackError(
                f"Not healthy after {HEALTHY_WITHIN_S} s: {', '.join(waiting)}. Logs are in "
                f"{settings.logs}. What was started goes on: make up again waits for the rest, "
                "make down stops it."
            )
        time.sleep(1)
    # The first request builds the execution API; better now than in the first task.
    httpx.get(f"{settings.airflow_url}/execution/health", timeout=HEALTHY_WITHIN_S)


def _unhealthy(settings: Settings) -> list[str]:
    waiting = [] if _answers(f"{settings.mlflow_url}/health") else ["MLflow"]
    if settings.serving and not _answers(f"{settings.serving_url}/v2/health/live"):
        waiting.append("the model server")
    try:
        health = httpx.get(f"{settings.airflow_url}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return [*waiting, "Airflow"]
    sick = [c for c in COMPONENTS if (health.get(c) or {}).get("status") != "healthy"]
    return [*waiting, *sick]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _print_addresses(settings: Settings, console: Console, known: dict[str, str] | None) -> None:
    console.print(f"Airflow  {settings.airflow_url}", highlight=False)
    if known is None:
        console.print(f"         user admin, password in {settings.secrets_file}")
    else:
        console.print(f"         user admin, password {known['admin_password']}", markup=False)
    console.print(f"MLflow   {settings.mlflow_url}", highlight=False)
    if settings.serving:
        console.print(f"Models   {settings.serving_url}", highlight=False)
        if known is None:
            console.print(f"         token in {settings.secrets_file}")
        else:
            console.print(f"         token {known['serving_token']}", markup=False)
    console.print(f"Store    {settings.store}", highlight=False)
    chosen = database.choose(settings)
    if not chosen.is_postgres:
        console.print(
            f"Airflow's database is SQLite ({chosen.reason}), so backfills are refused.",
            highlight=False,
        )
    if not settings.schedules:
        console.print("Schedules are off: only triggered runs are made.")
