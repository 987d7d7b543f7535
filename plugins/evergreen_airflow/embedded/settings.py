"""Where the embedded stack lives, its ports, its secrets and what it tells Airflow."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from cryptography.fernet import Fernet

from evergreen.errors import StackError
from evergreen_airflow.warm_workers import OFF, ON, VARIABLE

T = TypeVar("T", bound=str)

PROJECT = Path(__file__).parents[3]
#: Every process of the stack carries this variable, so that ``down`` finds exactly those.
MARK = "EVERGREEN_STACK"

#: Tasks that run at once. Neither one model nor all backfills together take the last of them, so
#: that nobody waits for a night with many slow candidates.
PARALLELISM = 4
BACKFILL_POOL, BACKFILL_SLOTS = "evergreen_backfill", PARALLELISM - 1
MODEL_SLOTS = PARALLELISM - 1


@dataclass(frozen=True, kw_only=True)
class Port:
    """One port of the stack, and the variable that moves it."""

    name: str
    variable: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    All choices of one stack.

    ``project`` is the folder with dags, plugins and include. With ``schedules`` off only triggered
    runs are made; with ``serving`` off there is no model server; without ``warm_workers`` each task
    imports its libraries itself.
    """

    home: Path
    project: Path
    airflow: Port
    mlflow: Port
    worker_logs: Port
    triggerer_logs: Port
    postgres: Port
    model_server: Port
    schedules: bool
    serving: bool
    warm_workers: bool
    database: Literal["auto", "postgres", "sqlite"]

    @property
    def ports(self) -> tuple[Port, ...]:
        """Every port that must be free before the start."""
        always = (self.airflow, self.mlflow, self.worker_logs, self.triggerer_logs, self.postgres)
        return (*always, *([self.model_server] if self.serving else []))

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow.number}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's UI and API."""
        return f"http://127.0.0.1:{self.mlflow.number}"

    @property
    def serving_url(self) -> str:
        """Address of the model server."""
        return f"http://127.0.0.1:{self.model_server.number}"

    @property
    def store(self) -> Path:
        """Folder of the object store."""
        return self.home / "store"

    @property
    def secrets_file(self) -> Path:
        """Private file with everything that must not be guessed."""
        return self.home / "secrets.json"

    @property
    def logs(self) -> Path:
        """Folder with one log per process."""
        return self.home / "logs"


def read_stack_settings(environ: Mapping[str, str]) -> Settings:
    """
    Return the settings that *environ* asks for, with defaults for the rest.

    :raises StackError: If a port is not a number between 1024 and 65535.
    """

    def port(name: str, variable: str, default: int) -> Port:
        text = environ.get(variable, str(default))
        if not (text.isdigit() and 1024 <= int(text) <= 65535):
            raise StackError(f"{variable} is {text!r}, expected a port from 1024 to 65535.")
        return Port(name=name, variable=variable, number=int(text))

    return Settings(
        home=Path(environ.get("EVERGREEN_HOME", PROJECT / ".evergreen")).resolve(),
        project=Path(environ.get("EVERGREEN_PROJECT", PROJECT)).resolve(),
        airflow=port("Airflow", "EVERGREEN_AIRFLOW_PORT", 8080),
        mlflow=port("MLflow", "EVERGREEN_MLFLOW_PORT", 5000),
        worker_logs=port("task logs", "EVERGREEN_WORKER_LOG_PORT", 8793),
        triggerer_logs=port("triggerer logs", "EVERGREEN_TRIGGERER_LOG_PORT", 8794),
        postgres=port("PostgreSQL", "EVERGREEN_POSTGRES_PORT", 5433),
        model_server=port("the model server", "EVERGREEN_SERVING_PORT", 8088),
        serving=_choice(environ, "EVERGREEN_SERVING", ("on", "off")) == "on",
        warm_workers=_choice(environ, VARIABLE, (ON, OFF)) == ON,
        schedules=_choice(environ, "EVERGREEN_SCHEDULES", ("on", "off")) == "on",
        database=_choice(environ, "EVERGREEN_DATABASE", ("auto", "postgres", "sqlite")),
    )


def ensure_secrets(settings: Settings) -> tuple[dict[str, str], bool]:
    """Return the stack's secrets, made at random the first time, and whether this was it."""
    is_first = not settings.secrets_file.exists()
    found: dict[str, str] = {} if is_first else json.loads(settings.secrets_file.read_text())
    made = {
        "admin_password": secrets.token_urlsafe(18),
        "database_password": secrets.token_urlsafe(32),
        "fernet_key": Fernet.generate_key().decode(),
        "api_secret_key": secrets.token_urlsafe(64),
        "jwt_secret": secrets.token_urlsafe(64),
        "serving_token": secrets.token_urlsafe(32),
    }
    if set(made) - set(found):  # a newer Evergreen may need one more
        found = made | found
        write_private(settings.secrets_file, json.dumps(found))
    return found, is_first


def write_private(path: Path, text: str) -> None:
    """Write *text* to a file that only its owner can read, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f"{path.name}.new")
    staged.unlink(missing_ok=True)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    staged.replace(path)


def stack_environment(
    settings: Settings, known: Mapping[str, str], *, database_url: str
) -> dict[str, str]:
    """Return the variables every process of the stack is started with; *known* are the secrets."""
    home = settings.home
    path = os.pathsep.join(str(settings.project / name) for name in ("include", "plugins"))
    airflow = {
        "CORE__DAGS_FOLDER": settings.project / "dags",
        "CORE__PLUGINS_FOLDER": settings.project / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        # Inherited from a test, it makes the scheduler spin without a pause.
        "CORE__UNIT_TEST_MODE": False,
        "CORE__PARALLELISM": PARALLELISM,
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": MODEL_SLOTS,
        # A paused DAG drops asset events, and a fresh install would lose its first ones (FACTS).
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "CORE__FERNET_KEY": known["fernet_key"],
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        "API__SECRET_KEY": known["api_secret_key"],
        "API_AUTH__JWT_SECRET": known["jwt_secret"],
        "API__HOST": "127.0.0.1",
        "API__PORT": settings.airflow.number,
        "API__BASE_URL": settings.airflow_url,
        "API__WORKERS": 1,
        "DATABASE__SQL_ALCHEMY_CONN": database_url,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        # How soon a changed model.yaml shows; at the default of 30 s parsing is a tenth of a night.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 60,
        # The default of 1 s is most of what a chain of short tasks costs (facts/airflow.md, 11).
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
        "SCHEDULER__USE_JOB_SCHEDULE": settings.schedules,
        # The first request builds the execution API, which takes longer than the default 5 s.
        "WORKERS__EXECUTION_API_TIMEOUT": 60,
        # At the default of 5 s a task that ended may hold its slot as long, and an answer to a
        # question that was parked meanwhile is taken for a fault: it is lost, and asked again.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        "LOGGING__BASE_LOG_FOLDER": home / "airflow" / "logs",
        "LOGGING__WORKER_LOG_SERVER_PORT": settings.worker_logs.number,
        "LOGGING__TRIGGER_LOG_SERVER_PORT": settings.triggerer_logs.number,
        "EVERGREEN__ALLOW_BACKFILLS": not database_url.startswith("sqlite"),
        "EVERGREEN__BACKFILL_POOL": BACKFILL_POOL,
    }
    serving = {
        "STORE": settings.store.as_uri(),
        "MLFLOW": settings.mlflow_url,
        "CACHE": home / "serving",
        "TOKENS": known["serving_token"],
        "PORT": settings.model_server.number,
    }
    return {
        **{f"AIRFLOW__{key}": str(value) for key, value in airflow.items()},
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW_CONN_OBJECT_STORE_DEFAULT": json.dumps(
            {"conn_type": "generic", "extra": {"uri": settings.store.as_uri()}}
        ),
        "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps(
            {"conn_type": "generic", "host": settings.mlflow_url}
        ),
        **{f"EVERGREEN_SERVING_{key}": str(value) for key, value in serving.items()},
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        # pyarrow's second allocator starts a thread at import; a parent of forks must have none.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "OMP_NUM_THREADS": "1",  # tasks run side by side; more threads only contend (FACTS)
        "PYTHONPATH": path,
        MARK: str(home),
    }


def _choice(environ: Mapping[str, str], variable: str, choices: tuple[T, ...]) -> T:
    """Return the one of *choices* that *variable* names, by default the first."""
    text = environ.get(variable, choices[0])
    for choice in choices:
        if choice == text:
            return choice
    raise StackError(f"{variable} is {text!r}, expected one of {', '.join(choices)}.")
