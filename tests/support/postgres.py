"""A PostgreSQL server of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evergreen_airflow.embedded import database
from tests.conftest import free_port, wait_until

USER = "evergreen"


def make_cluster(folder: Path, *, port: int, password: str) -> tuple[list[str], str | None]:
    """Make a cluster in *folder*; return the command of its server, and who must run it."""
    programs = database._find_programs()
    assert programs, "this test needs PostgreSQL's programs (initdb, postgres)"
    file, runs_as = folder.with_suffix(".password"), database.system_user()
    file.write_text(password)
    folder.mkdir(mode=0o700)
    for path in (folder, file):
        shutil.chown(path, runs_as or os.geteuid())
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            folder,
            "-U",
            USER,
            "--pwfile",
            file,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ],
        check=True,
        capture_output=True,
        user=runs_as,
        cwd="/",
    )
    command = [
        str(programs / "postgres"),
        "-D",
        str(folder),
        "-p",
        str(port),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
    ]
    return command, runs_as


def wait_for_postgres(port: int) -> None:
    ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    wait_until(lambda: subprocess.run(ready).returncode == 0, within_s=90, what="PostgreSQL")


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yield the address of a server for SQLAlchemy; the server is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="eg-"))  # PostgreSQL's user may not enter pytest's folder
    home.chmod(0o711)
    port = free_port()
    try:
        command, runs_as = make_cluster(home / "postgres", port=port, password="secret")
        server = subprocess.Popen(
            command, user=runs_as, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for_postgres(port)
            yield f"postgresql+psycopg2://{USER}:secret@127.0.0.1:{port}/postgres"
        finally:
            server.kill()
            server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)
