"""
The nightly loop on what teams run: PostgreSQL, Redis, two Celery workers, an S3 store.

All by docker-compose.yaml's own commands and environment, started natively (tests/production.py);
then one worker dies while it trains, and the night still ends with one version.
"""

from __future__ import annotations

import io
import shutil
import time
from dataclasses import dataclass
from datetime import timedelta

import httpx
import psutil
import psycopg2
import pytest

from evergreen.evidence import DATA
from evergreen_airflow.embedded.api import FINISHED
from tests.acceptance.conftest import WINDOW, Workflow, copy_project, night
from tests.conftest import wait_until
from tests.production import running_production, stack_of

pytestmark = pytest.mark.e2e

MODEL = "shipped"
#: A candidate that takes long enough to be killed in the middle.
SLOW = '''

def slow(examples: Examples, *, seed: int) -> Pipeline:
    """The poor one, after a while."""
    import time

    time.sleep(20)
    return poor(examples, seed=seed)
'''
#: Nights that are run, and days before the first that monitor compares with.
NIGHTS, MORE_DAYS = 3, 38


@dataclass(frozen=True, kw_only=True)
class Shipped(Workflow):
    """A model on production's store."""

    @property
    def store(self):
        return self.stack.production.store

    def airflow_token(self, **_):
        raise NotImplementedError


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    spec = {
        "candidates": ["linear", "poor", "slow"], "start_date": "2025-01-01",
        "schedule": "0 6 29 2 *", "deployment": {"target": "server"},
        "quality": {"window_days": 3, "lookback_days": 7, "min_rows": 100},
    }  # fmt: skip
    root = copy_project(tmp_path_factory.mktemp("shipped"), {MODEL: spec})
    shutil.rmtree(root / "include" / "models" / "flight_delay")
    (root / "dags" / "flights_feed.py").unlink()
    with (root / "include" / "models" / MODEL / "pipeline.py").open("a") as code:
        code.write(SLOW)
    with running_production(root) as found:
        land(found.store)
        yield found


def land(store) -> None:
    from models.flight_delay import feed

    first = night(1).date() - timedelta(days=WINDOW["train_days"] + 8 + MORE_DAYS)
    days = [first + timedelta(days=n) for n in range((night(NIGHTS).date() - first).days)]
    feed.land_days(store, days, replace=frozenset())


@pytest.fixture(scope="module")
def model(production):
    stack = stack_of(production)
    stack.production, stack.page = production, io.StringIO()
    return Shipped(stack=stack, project=production.project, model=MODEL)


@pytest.fixture(scope="module")
def first_night(model):
    model.retrain(1, candidates=["linear"])
    as_of = night(1).isoformat()
    model.run("score", "score-1", as_of=as_of)
    model.run("monitor", "monitor-1", as_of=as_of)
    return model


def test_the_nightly_loop_is_green_on_production_parts(first_night, production):
    store = production.store

    assert first_night.champion() == "1"
    assert first_night.faults() == []
    assert any(key.endswith(DATA) for key in store.list(f"evidence/{MODEL}/"))
    assert len(list(store.list(f"predictions/{MODEL}/"))) > 0
    day = night(1).date() - timedelta(days=1)
    assert store.head(f"monitoring/{MODEL}/{day}/health.html") is not None


def test_task_logs_lie_in_the_bucket_and_airflow_shows_them(first_night, production):
    keys = [
        found["Key"]
        for found in production.store._client.list_objects_v2(
            Bucket="evergreen", Prefix=f"logs/dag_id={MODEL}__retrain/"
        )["Contents"]
    ]

    assert any("task_id=deploy_model" in key for key in keys)
    assert f"{MODEL} version 1" in first_night.log("retrain", "night-1", "register_model")


def test_mlflows_artefacts_lie_in_the_bucket(first_night, production):
    found = production.store._client.list_objects_v2(Bucket="evergreen", Prefix="mlflow/")

    assert any(one["Key"].endswith("MLmodel") for one in found["Contents"])


@pytest.mark.parametrize(("user", "theirs"), [("airflow", "mlflow"), ("mlflow", "airflow")])
def test_neither_database_opens_for_the_other(production, user, theirs):
    password = production.secrets[f"{user.upper()}_DB_PASSWORD"]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(
            host="127.0.0.1", port=production.ports["postgres"], user=user, password=password,
            dbname=theirs,
        )  # fmt: skip


@pytest.mark.parametrize("service", ["mlflow", "api-server", "scheduler", "triggerer"])
def test_a_services_own_health_check_says_healthy(first_night, production, service):
    done = production.check(service)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_model_server_serves_the_champion(first_night, production):
    production.start_model_server()
    url, token = production.url("model-server"), production.secrets["SERVING_TOKEN"]
    headers = {"Authorization": f"Bearer {token}"}

    def serves() -> bool:
        answer = httpx.get(f"{url}/v2/models/{MODEL}", headers=headers, timeout=10)
        return answer.is_success and answer.json()["versions"] == ["1"]

    wait_until(serves, within_s=60, what="version 1 on the model server")


def test_a_worker_that_dies_while_it_trains_costs_only_time(first_night, production):
    """Another worker takes the task again; there is one version, and the champion is whole."""
    first_night.start("retrain", "night-2", as_of=night(2).isoformat(), candidates=["slow"])
    wait_until(lambda: slow_is_running(first_night), within_s=120, what="the slow candidate")
    time.sleep(3)

    production.kill(busy_worker(production))
    wait_until(
        lambda: first_night.stack.api.state(f"{MODEL}__retrain", "night-2") in FINISHED,
        within_s=300,
        what="the end of the night",
    )

    tries = {t["task_id"]: t["try_number"] for t in first_night.tasks("retrain", "night-2")
             if t["state"] == "success"}  # fmt: skip
    assert first_night.stack.api.state(f"{MODEL}__retrain", "night-2") == "success"
    assert tries["train_candidate"] == 2
    assert sorted(first_night.versions()) == ["1", "2"]
    assert first_night.champion() == "1"
    assert first_night.faults() == []


def slow_is_running(model) -> bool:
    tasks = model.tasks("retrain", "night-2")
    return any(t["state"] == "running" and t["rendered_map_index"] == "slow" for t in tasks)


def busy_worker(production) -> str:
    """Return the worker whose tree has the most processes: a task forks one more."""
    sizes = {
        name: len(psutil.Process(production.processes[name].pid).children(recursive=True))
        for name in ("worker", "worker-2")
    }
    busy = max(sizes, key=lambda name: sizes[name])
    assert list(sizes.values()).count(sizes[busy]) == 1, sizes
    return busy


def test_the_other_worker_goes_on_alone(first_night, production):
    alive = [name for name in ("worker", "worker-2") if name in production.processes]

    assert len(alive) == 1
    first_night.run("score", "score-again", as_of=night(2).isoformat())
