"""Start an embedded stack of the test's own, on free ports, and leave nothing behind."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from evergreen_airflow.embedded import processes, stack
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.settings import Settings, read_stack_settings
from tests.conftest import free_port

PORTS = ("AIRFLOW", "MLFLOW", "WORKER_LOG", "TRIGGERER_LOG", "POSTGRES", "SERVING")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running stack, a session with its API, what it printed, and what a child needs to know."""

    settings: Settings
    environ: dict[str, str]
    password: str
    api: AirflowApi
    page: io.StringIO = field(repr=False)


@contextmanager
def running_stack(**environ: str) -> Iterator[Stack]:
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
        password = stack.up(settings, console)["admin_password"]
        api = AirflowApi(settings, password=password)
        yield Stack(
            settings=settings, environ=environ_of_child, password=password, api=api, page=page
        )
    finally:
        stack.down(settings, console)
        left = [str(process) for process in processes.ours(settings)]
        shutil.rmtree(home)
    assert left == []
