"""Make the tree importable the way a running Airflow does, and start the servers tests talk to."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]

# Set before anything imports Airflow: it reads its configuration once, at import.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-tests-")
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(ROOT / "plugins")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
# Unit-test mode turns this on, and would hide a bare cron string behind an interval.
os.environ["AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS"] = "False"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "1"

for folder in ("plugins", "include"):
    sys.path.insert(0, str(ROOT / folder))

from evergreen.spec import ModelSpec, load_spec  # noqa: E402
from evergreen.spec.data import WindowSpec  # noqa: E402
from evergreen.spec.modeling import CandidateSpec  # noqa: E402
from evergreen.storage.folder import FolderStore  # noqa: E402

#: The instant the small runs of the tests live at, and how many days before it have data.
AS_OF = datetime(2013, 3, 1, tzinfo=UTC)
LANDED_DAYS = 24
#: The tests that only one process may run: two stacks at once are too much for two cores.
STACKS = "stacks"

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what starts a stack first; of this, what shares one last: it idles beside no other."""
    items.sort(key=lambda item: (_group(item.nodeid) != STACKS, _shares_stack(item)))


def _shares_stack(item: pytest.Item) -> bool:
    return "stack" in getattr(item, "fixturenames", ())


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Give one process all that starts a stack, and the others a module at a time."""

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Scheduling(config, log)


@cache
def _starts_stack(module: str) -> bool:
    return "pytest.mark.e2e" in (ROOT / module).read_text()


def _group(nodeid: str) -> str:
    module = nodeid.partition("::")[0]
    return STACKS if _starts_stack(module) else module


@pytest.fixture(scope="session")
def raw_days(tmp_path_factory) -> Path:
    """A store with real flights and weather before AS_OF, and one day after it; never written."""
    from models.flight_delay import feed

    root = tmp_path_factory.mktemp("raw")
    first = AS_OF.date() - timedelta(days=LANDED_DAYS)
    days = [first + timedelta(days=n) for n in range(LANDED_DAYS + 1)]
    feed.land_days(FolderStore(root), days, replace=frozenset())
    return root


@pytest.fixture
def store(raw_days, tmp_path) -> FolderStore:
    """A store of the test's own, with the landed days in it."""
    shutil.copytree(raw_days, tmp_path / "store")
    return FolderStore(tmp_path / "store")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3."""
    from tests.support.s3 import s3_server

    with s3_server() as url:
        yield url


@pytest.fixture
def spec(tmp_path, monkeypatch) -> ModelSpec:
    """The sample's spec with a small window, no search, and a name no other test uses."""
    name = f"flights_{next(_numbers)}_{os.getpid()}"
    folder = tmp_path / "code" / "models" / name
    shutil.copytree(ROOT / "include" / "models" / "flight_delay", folder)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))  # models is a namespace package
    return small(load_spec("flight_delay")).model_copy(update={"model": name})


def small(spec: ModelSpec) -> ModelSpec:
    """The same model with a window that the landed days fill, its fast candidate and no search."""
    return spec.model_copy(
        update={
            "window": WindowSpec(train_days=14, validation_days=3, gap_days=1, test_days=4),
            "candidates": {"linear": CandidateSpec()},
        }
    )


@pytest.fixture
def rewrite(store) -> Callable[..., None]:
    """Change one landed partition: a function of its frame, or bytes in its place."""
    from evergreen.data.parquet import from_parquet, to_parquet

    def change(table: str, day: date, how) -> None:
        key = f"raw/{table}/{day}.parquet"
        data = how if isinstance(how, bytes) else to_parquet(how(from_parquet(store.get(key))))
        store.put(key, data)

    return change


@pytest.fixture(scope="session")
def mlflow_home(tmp_path_factory) -> Path:
    """Where the MLflow server keeps its database and artifacts."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def mlflow_artifacts(mlflow_home) -> Path:
    return mlflow_home / "artifacts"


@pytest.fixture(scope="session")
def mlflow_uri(mlflow_home) -> Iterator[str]:
    """A real MLflow server on SQLite, as the embedded stack starts it."""
    with mlflow_server(mlflow_home) as url:
        yield url


def embedded_environment() -> dict[str, str]:
    """What the embedded stack tells its processes by default, with secrets nobody looks at."""
    from evergreen_airflow.embedded.settings import read_stack_settings, stack_environment

    secrets = dict.fromkeys(("fernet_key", "api_secret_key", "jwt_secret", "serving_token"), "none")
    return stack_environment(read_stack_settings({}), secrets, database_url="sqlite://")


def said_by_python(code: str, **environ: str) -> str:
    """Run *code* in a new interpreter that finds ours, and return what it printed."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths} | environ,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    home.mkdir(exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "-w", "1", "--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--serve-artifacts",
               "--artifacts-destination", str(home / "artifacts")]  # fmt: skip
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            command, env=env, stdout=log, stderr=log, start_new_session=True
        ) as server,
    ):
        try:
            wait_until(lambda: answers(port), within_s=120, what=f"MLflow, see {home}/log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 15)


@pytest.fixture(scope="session")
def client(mlflow_uri):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_uri, registry_uri=mlflow_uri)


@pytest.fixture
def night(store, client, spec):
    """The nights of one model, stage by stage, on real flights and a real MLflow server."""
    from tests.support.night import Night

    return Night(store, client, spec)


@pytest.fixture(scope="session")
def trained(raw_days, client, tmp_path_factory):
    """One real night and its judgement; cheap versions are registered from what it logged."""
    from tests.support.night import Night

    root = tmp_path_factory.mktemp("trained") / "store"
    shutil.copytree(raw_days, root)
    night = Night(FolderStore(root), client, small(load_spec("flight_delay")))
    return night, night.evaluation(night.examples())


@pytest.fixture(scope="session")
def serving(trained, tmp_path_factory):
    """The same night with its version serving, in a store that is only copied."""
    from tests.support.night import Night

    night, _ = trained
    root = tmp_path_factory.mktemp("serving") / "store"
    shutil.copytree(night.store.root, root)
    night = Night(FolderStore(root), night.client, night.spec)
    night.deployment()
    return night


@pytest.fixture
def new_history(trained):
    """Begin the history of a model that no other test knows."""
    from tests.support.night import History

    return lambda: History(trained, f"history_{next(_numbers)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_true: Callable[[], bool], *, within_s: float, what: str) -> None:
    give_up = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < give_up, f"waited {within_s} s for {what}"
        time.sleep(0.2)
