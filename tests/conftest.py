"""Make the tree importable the way a running Airflow does, and share what tests have in common."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.support import budgets, run, tiers  # noqa: E402
from tests.support.servers import (  # noqa: E402
    answers,
    copy_mlflow,
    free_port,
    mlflow_server,
    start_mlflow,
    wait_until,
)

__all__ = ["answers", "copy_mlflow", "free_port", "mlflow_server", "wait_until"]

run.begin()
# Workers run side by side, as tasks do: more threads only contend. Read when numpy is imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
# Set before anything imports Airflow: it reads its configuration once, at import.
os.environ["AIRFLOW_HOME"] = str(run.folder() / f"airflow-{os.getpid()}")
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
# Tests run side by side: more threads only contend (FACTS, "Execution").
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

for folder in ("plugins", "include"):
    sys.path.insert(0, str(ROOT / folder))

from evergreen.spec import ModelSpec, load_spec  # noqa: E402
from evergreen.spec.data import WindowSpec  # noqa: E402
from evergreen.spec.modeling import CandidateSpec  # noqa: E402
from evergreen.storage.folder import FolderStore  # noqa: E402
from tests.support.few_inputs import copy_sample  # noqa: E402

#: The instant the small runs of the tests live at, and how many days before it have data.
AS_OF = datetime(2013, 3, 1, tzinfo=UTC)
LANDED_DAYS = 24

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--enforce-budgets", action="store_true", help="fail if a tier takes too long (.ci/run)"
    )


def pytest_configure(config: pytest.Config) -> None:
    if run.is_first_process():
        config.pluginmanager.register(budgets.Report(config), "budgets")
    elif hasattr(config, "workerinput"):
        run.register_worker()


def pytest_unconfigure(config: pytest.Config) -> None:
    run.end()


@pytest.hookimpl(tryfirst=True)  # before pytest reads -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier; what takes longest begins first."""
    for item in items:
        item.add_marker(tiers.tier_of(item.fixturenames))
    items.sort(key=_place)
    lanes = {item.nodeid: tiers.lane_of(item.fixturenames) for item in items}
    run.publish("lanes", {name: lane for name, lane in lanes.items() if lane})


def _place(item: pytest.Item) -> tuple[int, str, int]:
    """Sort by tier, lane and what a test has to wait for; else as they are collected."""
    tier, lane = tiers.tier_of(item.fixturenames), tiers.lane_of(item.fixturenames)
    place = 0
    if item.get_closest_marker("last_in_lane"):
        place = 1
    elif item.get_closest_marker("first_in_lane"):
        place = -1
    return (-tiers.TIERS.index(tier), lane or "", place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """
    Give one process a whole lane of e2e tests, and the others a module at a time.

    xdist's own groups (``xdist_group``) have no effect here: xdist 3.8 appends a group to a test's
    id, which pytest 9.2 does not let it change. Only the workers know the fixtures of a test, so
    they publish the lanes.
    """

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lanes().get(nodeid) or nodeid.partition("::")[0]

    @cache
    def lanes() -> dict[str, str]:
        return dict(run.published("lanes"))

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _limits_of(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _limits_of(item):
        return (yield)


def _limits_of(item: pytest.Item) -> AbstractContextManager[None]:
    is_unit = tiers.tier_of(item.fixturenames) == tiers.UNIT
    return tiers.without_network() if is_unit else nullcontext()


@pytest.fixture(scope="session")
def network() -> None:
    """Permit servers and connections; whatever asks for this is an integration test."""


@pytest.fixture(scope="session")
def airflow_services(network) -> None:
    """Permit Airflow's own services; whatever asks for this is an e2e test."""


@pytest.fixture(scope="session")
def raw_days() -> Path:
    """A store with real flights and weather before AS_OF, and one day after it; never written."""
    from models.flight_delay import feed

    def land(root: Path) -> str:
        first = AS_OF.date() - timedelta(days=LANDED_DAYS)
        days = [first + timedelta(days=n) for n in range(LANDED_DAYS + 1)]
        feed.land_days(FolderStore(root), days, replace=frozenset())
        return str(root)

    return Path(run.once("raw", land))


@pytest.fixture
def store(raw_days, tmp_path) -> FolderStore:
    """A store of the test's own, with the landed days in it."""
    shutil.copytree(raw_days, tmp_path / "store")
    return FolderStore(tmp_path / "store")


@pytest.fixture(scope="session")
def s3(network) -> Iterator[str]:
    """The address of a server that speaks S3."""
    from tests.support.s3 import s3_server

    with s3_server() as url:
        yield url


@pytest.fixture
def spec(tmp_path, monkeypatch) -> ModelSpec:
    """The sample's spec with a small window, ten inputs, no search, and a name of its own."""
    name = f"flights_{next(_numbers)}_{os.getpid()}"
    sample = copy_sample(tmp_path / "code" / "models" / name)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))  # models is a namespace package
    return small(sample).model_copy(update={"model": name})


def small(spec: ModelSpec) -> ModelSpec:
    """The same model with a window that the landed days fill, its fast candidate and no search."""
    # Four test days can show a gain on one night, not at the level of a year of nights.
    champion = spec.gates.champion.model_copy(update={"false_promotions_per_year": None})
    return spec.model_copy(
        update={
            "gates": spec.gates.model_copy(update={"champion": champion}),
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
def mlflow_uri(network) -> str:
    """A real MLflow server on SQLite, as the embedded stack starts it; one for the whole run."""

    def start(home: Path) -> str:
        url, server = start_mlflow(home)
        run.detach(server)
        return url

    return str(run.once("mlflow", start))


@pytest.fixture(scope="session")
def mlflow_home(mlflow_uri) -> Path:
    """Where the MLflow server keeps its database and artifacts."""
    return run.folder() / "mlflow"


@pytest.fixture(scope="session")
def mlflow_artifacts(mlflow_home) -> Path:
    return mlflow_home / "artifacts"


def embedded_environment() -> dict[str, str]:
    """What the embedded stack tells its processes by default, with secrets nobody looks at."""
    from evergreen_airflow.embedded.settings import read_stack_settings, stack_environment

    secrets = dict.fromkeys(("fernet_key", "api_secret_key", "jwt_secret", "serving_token"), "none")
    return stack_environment(read_stack_settings({}), secrets, database_url="sqlite://")


def said_by_python(code: str, **environ: str) -> str:
    """Run *code* in a new interpreter that finds ours, and return what it printed."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths} | environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    from evergreen.receipts.modeling import EvaluationReceipt
    from tests.support.night import Night

    spec = small(load_spec("flight_delay"))

    def train(root: Path) -> str:
        shutil.copytree(raw_days, root / "store")
        night = Night(FolderStore(root / "store"), client, spec)
        return night.evaluation(night.examples()).model_dump_json()

    evaluation = EvaluationReceipt.model_validate_json(run.once("trained", train))
    store = _own_copy("trained", tmp_path_factory)
    return Night(store, client, spec), evaluation


@pytest.fixture(scope="session")
def serving(trained, tmp_path_factory):
    """The same night with its version serving, in a store that is only copied."""
    from tests.support.night import Night

    night, _ = trained

    def deploy(root: Path) -> str:
        shutil.copytree(run.folder() / "trained" / "store", root / "store")
        return Night(FolderStore(root / "store"), night.client, night.spec).deployment().version

    run.once("serving", deploy)
    return Night(_own_copy("serving", tmp_path_factory), night.client, night.spec)


def _own_copy(name: str, tmp_path_factory) -> FolderStore:
    """Copy a store that the run shares, for this process to write to."""
    root = tmp_path_factory.mktemp(name) / "store"
    shutil.copytree(run.folder() / name / "store", root)
    return FolderStore(root)


@pytest.fixture
def new_history(trained):
    """Begin the history of a model that no other test knows."""
    from tests.support.night import History

    return lambda: History(trained, f"history_{os.getpid()}_{next(_numbers)}")
