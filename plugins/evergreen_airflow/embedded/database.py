"""
Airflow's metadata database: a private PostgreSQL cluster where its programs are found, else SQLite.

Backfills are the reason: on SQLite Airflow answers "Database is locked" as soon as anything runs,
and a failed attempt can delete the run it was to repeat (FACTS, "time").
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from evergreen.errors import StackError
from evergreen_airflow.embedded.settings import Settings, write_private

USER = NAME = "evergreen"
#: Where packages put PostgreSQL's programs when they leave them off the PATH.
USUAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
READY_WITHIN_S = 60


@dataclass(frozen=True, kw_only=True)
class Database:
    """The chosen database. Without ``programs`` it is SQLite, and ``reason`` says why."""

    programs: Path | None
    reason: str

    @property
    def is_postgres(self) -> bool:
        """Whether a private PostgreSQL cluster is used, so that backfills are safe."""
        return self.programs is not None


def choose(settings: Settings) -> Database:
    """
    Return the database to use: what the folder has already, else what the machine offers.

    :raises StackError: If PostgreSQL is required, or holds this folder's history, and cannot run.
    """
    asked = settings.database
    if asked == "auto" and _sqlite_file(settings).exists():
        return Database(programs=None, reason="this folder began with it")
    if asked == "sqlite":
        return Database(programs=None, reason="EVERGREEN_DATABASE asks for it")
    programs, obstacle = _find_programs(), _obstacle(settings)
    if programs and not obstacle:
        return Database(programs=programs, reason=f"programs in {programs}")
    why = obstacle or "PostgreSQL's programs (initdb, postgres) were not found"
    if asked == "postgres" or folder(settings).exists():
        raise StackError(f"Airflow's database must be PostgreSQL here, but {why}.")
    return Database(programs=None, reason=why)


def url(settings: Settings, database: Database, *, password: str) -> str:
    """Return the address Airflow connects to."""
    if database.is_postgres:
        return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{settings.postgres_port}/{NAME}"
    return f"sqlite:///{_sqlite_file(settings)}"


def folder(settings: Settings) -> Path:
    """Return the data folder of the private cluster."""
    return settings.home / "postgres"


def create_cluster(settings: Settings, database: Database, *, password: str) -> None:
    """
    Make the private cluster unless it exists; a cluster that is half made is never used.

    :raises StackError: If initdb fails.
    """
    if database.programs is None or folder(settings).exists():
        return
    staged = settings.home / "postgres.new"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    password_file = settings.home / "postgres.password"
    write_private(password_file, password)
    if runs_as := system_user():
        settings.home.chmod(0o711)  # its files stay private; the server must reach its folder
        shutil.chown(staged, runs_as)
        shutil.chown(password_file, runs_as)
    command = [
        str(database.programs / "initdb"),
        "--pgdata",
        str(staged),
        "--username",
        USER,
        "--pwfile",
        str(password_file),
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
    ]
    done = subprocess.run(command, capture_output=True, text=True, user=runs_as, cwd="/")
    password_file.unlink()
    if done.returncode:
        raise StackError(f"initdb failed:\n{done.stdout}{done.stderr}")
    staged.rename(folder(settings))


def server_command(settings: Settings, database: Database) -> str:
    """Return how the private server is started: on loopback only, without a socket file."""
    return (
        f"{database.programs}/postgres -D {folder(settings)} -p {settings.postgres_port} "
        "-c listen_addresses=127.0.0.1 -c unix_socket_directories="
    )


def wait_until_ready(settings: Settings, *, password: str) -> None:
    """
    Wait for the private server, and create Airflow's database in it the first time.

    :raises StackError: If it does not answer in time.
    """
    give_up = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            connection = psycopg2.connect(
                host="127.0.0.1",
                port=settings.postgres_port,
                user=USER,
                password=password,
                dbname="postgres",
            )
            break
        except psycopg2.OperationalError as error:
            if time.monotonic() > give_up:
                raise StackError(f"PostgreSQL does not answer: {error}") from None
            time.sleep(0.2)
    connection.autocommit = True  # CREATE DATABASE cannot run in a transaction
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", [NAME])
            if cursor.fetchone() is None:
                cursor.execute(f'create database "{NAME}"')
    finally:
        connection.close()


def system_user() -> str | None:
    """Return the user the server must run as if we are root, which PostgreSQL refuses to be."""
    return "postgres" if os.geteuid() == 0 else None


def _find_programs() -> Path | None:
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for pattern in USUAL_FOLDERS:
        folders += sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    complete = (f for f in folders if (f / "initdb").exists() and (f / "postgres").exists())
    return next(complete, None)


def _obstacle(settings: Settings) -> str | None:
    """Say why root cannot hand the server over to its own user, if so."""
    user = system_user()
    if user is None:
        return None
    try:
        pwd.getpwnam(user)
    except KeyError:
        return f"PostgreSQL does not run as root, and there is no user {user}"
    for parent in settings.home.parents:
        if parent.exists() and not parent.stat().st_mode & 0o001:
            return f"PostgreSQL does not run as root, and its user {user} may not enter {parent}"
    return None


def _sqlite_file(settings: Settings) -> Path:
    return settings.home / "airflow" / "airflow.db"
