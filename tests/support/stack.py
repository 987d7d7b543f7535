"""An embedded stack of the test's own, on free ports, which leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from evergreen_airflow.embedded import database, processes, stack
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.settings import (
    Settings,
    ensure_secrets,
    read_stack_settings,
    stack_environment,
)
from tests.support.run import begin, locked, register_session
from tests.support.servers import free_port

PORTS = ("AIRFLOW", "MLFLOW", "WORKER_LOG", "TRIGGERER_LOG", "POSTGRES", "SERVING")
#: Where migrated databases are kept between runs.
TEMPLATES = Path("/var/tmp") / f"evergreen-test-databases-{os.getuid()}"
#: The secrets that a copy of the database needs: its password, and the key of what it encrypts.
KEPT_SECRETS = ("database_password", "fernet_key")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running stack, a session with its API, what it printed, and what a child needs to know."""

    settings: Settings
    environ: dict[str, str]
    password: str
    api: AirflowApi
    page: io.StringIO = field(repr=False)


@contextmanager
def running_stack(*, is_quiet: bool = True, **environ: str) -> Iterator[Stack]:
    """
    Run a stack; a new one on PostgreSQL begins with a copy of a migrated database.

    :param is_quiet: Whether it works beside tests; a bench measures a stack as it is shipped.
    """
    begin()  # a bench is no run of pytest, and leaves no server behind either
    # Not below pytest's own folder: root may enter that one, PostgreSQL's user may not.
    home = Path(tempfile.mkdtemp(prefix="eg-"))
    ports = {f"EVERGREEN_{name}_PORT": str(free_port()) for name in PORTS}
    # A model server loads each new champion; only the tests that ask it something pay for that.
    asked = {"EVERGREEN_HOME": str(home), "EVERGREEN_SCHEDULES": "off", "EVERGREEN_SERVING": "off"}
    asked |= ports | environ
    settings = read_stack_settings(asked)
    code = os.pathsep.join(str(settings.project / name) for name in ("include", "plugins"))
    environ_of_child = os.environ | asked | {"PYTHONPATH": code}
    page = io.StringIO()
    console = Console(file=page, width=200)
    try:
        with pytest.MonkeyPatch.context() as patch:
            if is_quiet:
                patch.setattr(stack, "stack_environment", quiet_environment)
            if database.choose(settings).is_postgres:
                copy_database(settings)
                patch.setattr(stack, "_migrate", lambda env: None)  # the copy is migrated
            password = stack.up(settings, console)["admin_password"]
        register_session(json.loads((home / "session.json").read_text())["session"])
        api = AirflowApi(settings, password=password)
        yield Stack(
            settings=settings, environ=environ_of_child, password=password, api=api, page=page
        )
    finally:
        stack.down(settings, console)
        left = [str(process) for process in processes.ours(settings)]
        shutil.rmtree(home)
    assert left == []


def quiet_environment(*args: Any, **kwargs: Any) -> dict[str, str]:
    """Return the stack's variables, with DAG files read once: no test changes one."""
    return stack_environment(*args, **kwargs) | {
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }


def copy_database(settings: Settings) -> None:
    """Give a new stack the database of the template, and the secrets that belong to it."""
    chosen = database.choose(settings)
    TEMPLATES.mkdir(mode=0o711, exist_ok=True)
    template = TEMPLATES / template_key(chosen)
    with locked(TEMPLATES / f"{template.name}.lock"):
        if not (template / "secrets.json").exists():
            shutil.rmtree(template, ignore_errors=True)
            make_template(template)
    subprocess.run(["cp", "-a", template / "postgres", database.folder(settings)], check=True)
    shutil.copy2(template / "secrets.json", settings.secrets_file)
    if database.system_user():
        settings.home.chmod(0o711)  # the server's user must reach its folder


def template_key(chosen: database.Database) -> str:
    """Name a template by what made it: Airflow, PostgreSQL and our own code."""
    assert chosen.programs
    postgres = subprocess.run(
        [chosen.programs / "postgres", "--version"], capture_output=True, check=True
    ).stdout
    code = (
        b"".join(Path(str(module.__file__)).read_bytes() for module in (database, stack))
        + Path(__file__).read_bytes()
    )
    digest = hashlib.sha256(postgres + code).hexdigest()[:12]
    return f"airflow-{version('apache-airflow')}-{digest}"


def make_template(template: Path) -> None:
    """Make and migrate a database as a first ``make up`` does."""
    staged = Path(tempfile.mkdtemp(prefix="eg-"))
    staged.chmod(0o711)
    settings = read_stack_settings(
        {"EVERGREEN_HOME": str(staged), "EVERGREEN_POSTGRES_PORT": str(free_port())}
    )
    chosen, (known, _) = database.choose(settings), ensure_secrets(settings)
    password = known["database_password"]
    url = database.url(settings, chosen, password=password)
    database.create_cluster(settings, chosen, password=password)
    server = psutil.Popen(
        database.server_command(settings, chosen).split(),
        user=database.system_user(),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        database.wait_until_ready(settings, password=password)
        stack._migrate(stack_environment(settings, known, database_url=url))
    finally:
        server.send_signal(2)  # a fast shutdown, after which the folder may be copied
        server.wait(60)
    with (database.folder(settings) / "postgresql.conf").open("a") as conf:
        conf.write("fsync = off\n")  # the data of a test may be lost with its machine
    kept = {name: known[name] for name in KEPT_SECRETS}
    settings.secrets_file.write_text(json.dumps(kept))
    unfinished = template.with_name(f"{template.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    subprocess.run(["cp", "-a", staged, unfinished], check=True)
    unfinished.rename(template)
    shutil.rmtree(staged)
