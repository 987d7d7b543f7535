"""Where the embedded stack lives, its ports, its secrets and what it tells Airflow."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import SettingsConfigDict

from evergreen.errors import StackError
from evergreen.settings import EnvironmentSettings
from evergreen_airflow.warm_workers import OFF, ON

PROJECT = Path(__file__).parents[3]
#: Every process of the stack carries this variable, so that ``down`` finds exactly those.
MARK = "EVERGREEN_STACK"

#: Tasks that run at once. Neither one model nor all backfills together take the last of them, so
#: that a night with many slow candidates does not hold up the others.
PARALLELISM = 4
BACKFILL_POOL, BACKFILL_SLOTS = "evergreen_backfill", PARALLELISM - 1
MODEL_SLOTS = PARALLELISM - 1


@dataclass(frozen=True, kw_only=True)
class Port:
    """One port of the stack, and the variable that moves it."""

    name: str
    variable: str
    number: int


def _parse_switch(value: object) -> object:
    if isinstance(value, bool):
        return value
    if value not in (ON, OFF):
        raise ValueError
    return value == ON


Folder = Annotated[Path, AfterValidator(Path.resolve), Field(description="a folder")]
#: Its description completes the error message "found ..., expected ...", as those of the others do.
PortNumber = Annotated[int, Field(ge=1024, le=65535, description="a port from 1024 to 65535")]
Switch = Annotated[bool, BeforeValidator(_parse_switch), Field(description=f"one of {ON}, {OFF}")]


class Settings(EnvironmentSettings):
    """
    All choices of one stack. Every field is read from ``EVERGREEN_<FIELD>``.

    ``project`` is the folder with dags, plugins and include. With ``schedules`` off only triggered
    runs are made; with ``serving`` off there is no model server; without ``warm_workers`` each task
    imports its libraries itself.
    """

    model_config = SettingsConfigDict(env_prefix="EVERGREEN_")

    home: Folder = PROJECT / ".evergreen"
    project: Folder = PROJECT
    airflow_port: PortNumber = 8080
    mlflow_port: PortNumber = 5000
    worker_log_port: PortNumber = 8793
    triggerer_log_port: PortNumber = 8794
    postgres_port: PortNumber = 5433
    serving_port: PortNumber = 8088
    schedules: Switch = True
    serving: Switch = True
    warm_workers: Switch = True
    database: Literal["auto", "postgres", "sqlite"] = Field(
        default="auto", description="one of auto, postgres, sqlite"
    )

    @property
    def ports(self) -> tuple[Port, ...]:
        """Every port that must be free before the start."""
        names = {
            "airflow_port": "Airflow",
            "mlflow_port": "MLflow",
            "worker_log_port": "task logs",
            "triggerer_log_port": "triggerer logs",
            "postgres_port": "PostgreSQL",
        }
        if self.serving:
            names["serving_port"] = "the model server"
        return tuple(
            Port(name=name, variable=self.variable(field), number=getattr(self, field))
            for field, name in names.items()
        )

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's UI and API."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def serving_url(self) -> str:
        """Address of the model server."""
        return f"http://127.0.0.1:{self.serving_port}"

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

    :raises StackError: If one is wrong; the message names every wrong one.
    """
    try:
        return Settings.read(environ)
    except ValidationError as error:
        fields = Settings.model_fields
        raise StackError(
            "\n".join(
                f"{Settings.variable(str(e['loc'][0]))} is {e['input']!r}, expected "
                f"{fields[str(e['loc'][0])].description}."
                for e in error.errors()
            )
        ) from None


def ensure_secrets(settings: Settings) -> tuple[dict[str, str], bool]:
    """
    Return the stack's secrets, made at random the first time, and whether this was it.

    :raises StackError: If the file with them cannot be read.
    """
    is_first = not settings.secrets_file.exists()
    found = {} if is_first else _read_secrets(settings.secrets_file)
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


def _read_secrets(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        found = error
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise StackError(
            f"{path} holds no JSON object of secrets. Nothing was started. Restore it from a "
            "backup: Airflow's connections and the private database can only be opened with it. "
            "Without a backup, move the folder of the stack away and run 'make up' again."
        )
    return found


def write_private(path: Path, text: str) -> None:
    """Write *text* to a file that only its owner can read, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f"{path.name}.new")
    staged.unlink(missing_ok=True)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # else a power loss may leave the new name with nothing in it
    staged.replace(path)


def stack_environment(
    settings: Settings, known: Mapping[str, str], *, database_url: str
) -> dict[str, str]:
    """Return the variables every process of the stack is started with; *known* are the secrets."""
    home = settings.home
    path = os.pathsep.join(str(settings.project / name) for name in ("include", "plugins"))
    airflow = {
        **_core_options(settings, known, database_url),
        **_process_options(settings, database_url),
    }
    serving = {
        "STORE": settings.store.as_uri(),
        "MLFLOW": settings.mlflow_url,
        "CACHE": home / "serving",
        "TOKENS": known["serving_token"],
        "PORT": settings.serving_port,
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


def _core_options(
    settings: Settings, known: Mapping[str, str], database_url: str
) -> dict[str, object]:
    """Return Airflow's options of its core, its API and its database, by ``SECTION__KEY``."""
    return {
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
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": settings.home / "passwords.json",
        "CORE__FERNET_KEY": known["fernet_key"],
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        "API__SECRET_KEY": known["api_secret_key"],
        "API_AUTH__JWT_SECRET": known["jwt_secret"],
        "API__HOST": "127.0.0.1",
        "API__PORT": settings.airflow_port,
        "API__BASE_URL": settings.airflow_url,
        "API__WORKERS": 1,
        "DATABASE__SQL_ALCHEMY_CONN": database_url,
    }


def _process_options(settings: Settings, database_url: str) -> dict[str, object]:
    """Return Airflow's options of the processes beside the API, by ``SECTION__KEY``."""
    return {
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
        # question that was parked meanwhile is taken for an error: it is lost, and asked again.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        "LOGGING__BASE_LOG_FOLDER": settings.home / "airflow" / "logs",
        "LOGGING__WORKER_LOG_SERVER_PORT": settings.worker_log_port,
        "LOGGING__TRIGGER_LOG_SERVER_PORT": settings.triggerer_log_port,
        "EVERGREEN__ALLOW_BACKFILLS": not database_url.startswith("sqlite"),
        "EVERGREEN__BACKFILL_POOL": BACKFILL_POOL,
    }
