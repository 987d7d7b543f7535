"""
The nightly loop on what teams run: PostgreSQL, Redis, two Celery workers, an S3 store.

All by docker-compose.yaml's own commands and environment, started natively
(tests/support/production.py); then one worker dies while it trains, and the night still ends
with one version. `make test` leaves this out, for its time: `make test-services` runs it.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import psycopg2
import pytest
from mlflow import MlflowClient
from sqlalchemy import create_engine, text

from evergreen.operations.invariants import check_invariants
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.storage.folder import FolderStore
from evergreen.storage.layout import EVIDENCE_DATA
from evergreen.workspace import Workspace
from evergreen_airflow.embedded.api import FINISHED
from tests.acceptance.conftest import HELD, WINDOW, Workflow, copy_project, night
from tests.conftest import ROOT, mlflow_server, wait_until
from tests.support.models import warehouse
from tests.support.postgres import USER
from tests.support.production import running_production, stack_of
from tests.test_compose import expressions

MODEL = "shipped"
#: The second model: a regression that reads a database and writes its predictions back.
SECOND = "air_time"
#: A candidate that is killed while it is fitted.
SLOW = HELD + "\n\nslow = held\n"
#: Nights that are run, and days before the first that monitor compares with.
NIGHTS, MORE_DAYS = 3, 38


@dataclass(frozen=True, kw_only=True)
class Shipped(Workflow):
    """A model on production's store."""

    @property
    def store(self):
        return self.stack.production.store


@pytest.fixture(scope="module")
def production(airflow_services, tmp_path_factory):
    spec = {
        "candidates": ["linear", "poor", "slow"],
        "start_date": "2025-01-01",
        "schedule": "0 6 29 2 *",
        "deployment": {"target": "server"},
        "quality": {"window_days": 3, "lookback_days": 7, "min_rows": 100},
    }
    root = copy_project(tmp_path_factory.mktemp("shipped"), {MODEL: spec})
    shutil.rmtree(root / "include" / "models" / "flight_delay")
    (root / "dags" / "flights_feed.py").unlink()
    with (root / "include" / "models" / MODEL / "pipeline.py").open("a") as code:
        code.write(SLOW)
    shutil.copytree(
        ROOT / "tests" / "support" / "models" / SECOND, root / "include" / "models" / SECOND
    )
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
    as_of = night(3).isoformat()  # of the first day that the champion serves as a whole
    model.run("score", "score-3", as_of=as_of)
    model.run("monitor", "monitor-3", as_of=as_of)
    return model


def test_the_nightly_loop_is_green_on_production_parts(first_night, production):
    store = production.store

    assert first_night.champion() == "1"
    assert first_night.errors() == []
    assert any(key.endswith(EVIDENCE_DATA) for key in store.list(f"evidence/{MODEL}/"))
    scored = first_night.receipt("score", "score-3", "score_partition")["predictions"]
    assert store.head(scored["key"]).size == scored["size"]
    day = night(3).date() - timedelta(days=1)
    assert store.head(f"monitoring/{MODEL}/{day}/health.html") is not None


@pytest.fixture(scope="module")
def second(model, production):
    """A night, a scored and a monitored day of the second model, from a table to a table."""
    password = production.secrets["POSTGRES_PASSWORD"]
    port = production.ports["postgres"]
    engine = create_engine(
        f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/postgres",
    )
    last = night(NIGHTS).date() - timedelta(days=1)
    warehouse.load(engine, warehouse.flights(last - timedelta(days=70), last))
    connection = {
        "connection_id": "warehouse",
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": port,
        "schema": "postgres",
        "login": USER,
        "password": password,
    }
    model.stack.api.http.post("/connections", json=connection).raise_for_status()
    found = Shipped(stack=model.stack, project=production.project, model=SECOND)
    found.retrain(1)
    as_of = night(3).isoformat()
    found.run("score", "score-3", as_of=as_of)
    found.run("monitor", "monitor-3", as_of=as_of)
    yield found, engine
    engine.dispose()


def test_a_regression_from_a_database_goes_the_same_way(second, production):
    """Trained, registered, scored into a table, monitored; only its folder is its own."""
    found, engine = second
    day = night(3).date() - timedelta(days=1)
    scored = found.receipt("score", "score-3", "score_partition")
    quality = found.receipt("monitor", "monitor-3", "measure_quality")

    assert found.champion() == "1"
    assert found.errors() == []
    with engine.connect() as connection:
        rows = connection.execute(text("select scored_day, count(*) from air_time_said group by 1"))
        assert list(rows) == [(day, scored["rows"])]
    assert quality["windows"][-1]["metrics"][quality["metric"]] < 40  # minutes
    assert production.store.head(f"monitoring/{SECOND}/{day}/health.html") is not None
    assert production.store.head(f"raw/{SECOND}/flights/{day}.parquet") is not None
    assert "days were read" in found.log("retrain", "night-1", "extract_data")


def test_it_goes_to_another_registry_through_its_own_dag(second, tmp_path):
    """An environment is two connections; the champion there is the version that was judged here."""
    found, _ = second
    store = FolderStore(tmp_path / "staging")
    with mlflow_server(tmp_path / "mlflow") as url:
        for connection in (
            {
                "connection_id": "object_store_staging",
                "conn_type": "generic",
                "extra": json.dumps({"uri": store.uri}),
            },
            {"connection_id": "mlflow_staging", "conn_type": "generic", "host": url},
        ):
            found.stack.api.http.post("/connections", json=connection).raise_for_status()
        found.run("promote", "to-staging", to="staging", reason="looks well", dry_run=False)
        there = MlflowClient(url, url)

        arrived = there.get_model_version_by_alias(SECOND, "champion")
        tag = mlflow_registry.TAG_SHA256
        assert arrived.tags[tag] == found.version_tags()["1"][tag]
        checks = check_invariants(Workspace(store, there, found.spec), now=datetime.now(UTC))
        assert [check.name for check in checks if check.status != "passed"] == []
    assert found.ledger().entries[-1].step == "sent"
    assert "looks well" in ledger_store.read_ledger(store, SECOND).champion.reason


def test_task_logs_lie_in_the_bucket_and_airflow_shows_them(first_night, production):
    keys = [
        found["Key"]
        for found in production.store._client.list_objects_v2(
            Bucket="evergreen", Prefix=f"logs/dag_id={MODEL}__retrain/"
        )["Contents"]
    ]

    assert any("task_id=deploy_model" in key for key in keys)
    assert f"{MODEL} version 1" in first_night.log("retrain", "night-1", "register_model")


def test_mlflows_artifacts_lie_in_the_bucket(first_night, production):
    found = production.store._client.list_objects_v2(Bucket="evergreen", Prefix="mlflow/")

    assert any(one["Key"].endswith("MLmodel") for one in found["Contents"])


@pytest.mark.parametrize(("user", "theirs"), [("airflow", "mlflow"), ("mlflow", "airflow")])
def test_neither_database_opens_for_the_other(production, user, theirs):
    password = production.secrets[f"{user.upper()}_DB_PASSWORD"]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(
            host="127.0.0.1",
            port=production.ports["postgres"],
            user=user,
            password=password,
            dbname=theirs,
        )


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

    wait_until(serves, within_s=180, what="version 1 on the model server")


def test_a_worker_that_dies_while_it_trains_costs_only_time(first_night, production):
    """Another worker takes the task again; there is one version, and the champion is whole."""
    first_night.start("retrain", "night-2", as_of=night(2).isoformat(), candidates=["slow"])
    busy: list[str] = []

    def is_fitting() -> bool:
        busy[:] = filter(None, [worker_of_slow(first_night, production)])
        return bool(busy)

    wait_until(is_fitting, within_s=120, what="the slow candidate")
    production.kill(busy[0])
    first_night.release()
    wait_until(
        lambda: first_night.stack.api.state(f"{MODEL}__retrain", "night-2") in FINISHED,
        within_s=300,
        what="the end of the night",
    )

    slow = next(
        t for t in first_night.tasks("retrain", "night-2") if t["rendered_map_index"] == "slow"
    )
    assert first_night.stack.api.state(f"{MODEL}__retrain", "night-2") == "success"
    assert (slow["state"], slow["try_number"]) == ("success", 2)
    assert sorted(first_night.versions()) == ["1", "2"]
    assert first_night.champion() == "1"
    assert first_night.errors() == []


def worker_of_slow(model, production) -> str | None:
    """Return the worker that runs the slow candidate: a task's process is named after it."""
    tasks = model.tasks("retrain", "night-2")
    found = [
        t["id"] for t in tasks if t["state"] == "running" and t["rendered_map_index"] == "slow"
    ]
    for name in ("worker", "worker-2"):
        if found and any(found[0] in command for command in production.commands(name)):
            return name
    return None


def test_the_other_worker_goes_on_alone(first_night, production):
    alive = [name for name in ("worker", "worker-2") if name in production.processes]

    assert len(alive) == 1
    first_night.run("score", "score-again", as_of=night(2).isoformat())


def test_metrics_of_tasks_and_models_are_pushed_under_the_names_that_dashboards_ask_for(
    first_night, production
):
    def named() -> set[str]:
        return {name.replace(".", "_") for name in production.metrics}

    wanted = {
        name.removesuffix("_total")
        for expression in expressions().values()
        for name in re.findall(r"airflow_\w+", expression)
    }
    only_if_failed = {"airflow_ti_failures"}
    wait_until(lambda: wanted - only_if_failed <= named(), within_s=180, what="all metrics")
    assert {"model", "task"} <= production.metrics["airflow.evergreen.task_cpu_seconds"]


def test_openlineage_is_told_the_way_from_raw_days_to_predictions(first_night, production):
    told = [json.loads(line) for line in production.lineage.read_text().splitlines()]
    ended = [one for one in told if one["eventType"] == "COMPLETE" and one["outputs"]]
    ways = {
        one["job"]["name"]: tuple(
            {d["name"].removeprefix("store/") for d in one[side]} for side in ("inputs", "outputs")
        )
        for one in ended
    }

    read, _ = ways[f"{MODEL}__retrain.validate_data"]
    assert read == {"raw/flights", "raw/weather"}
    _, registered = ways[f"{MODEL}__retrain.register_model"]
    assert registered == {f"models/{MODEL}"}
    read, written = ways[f"{MODEL}__score.score_partition"]
    assert read == {f"models/{MODEL}", f"validation/{MODEL}"}
    assert written == {f"predictions/{MODEL}"}


def test_a_task_starts_with_its_libraries_already_there(first_night, production):
    """pandas and all else are in the worker; the task's own process shares their memory."""
    log = first_night.log("score", "score-3", "score_partition")
    (cpu,) = re.findall(r"Cost: ([\d.]+) CPU s", log)

    assert float(cpu) < 1.5, "importing pandas, scikit-learn and MLflow alone takes 3 and more"


def test_no_secret_is_in_any_sink(first_night, second, production):
    """Neither plain nor URL-encoded nor in base64; store, logs, XCom, MLflow and files are read."""
    made = {k: v for k, v in production.secrets.items() if k != "AIRFLOW_PASSWORDS"}
    forms = {form: name for name, value in made.items() for form in spellings(value)}
    sinks = dict(everything_written(production))

    assert {"bucket", "xcom", "rendered", "mlflow", "file"} <= {kind for kind, _ in sinks}
    found = {
        (kind, where, forms[form])
        for (kind, where), data in sinks.items()
        for form in forms
        if form in data
    }
    assert found == set()


def spellings(secret: str) -> set[bytes]:
    """Return how *secret* may be written; base64 has three, by where it begins."""
    plain = secret.encode()
    shifted = (base64.b64encode(b"x" * n + plain)[4 if n else 0 : -4] for n in range(3))
    return {plain, quote(secret, safe="").encode(), *shifted}


def everything_written(production):
    """Yield the bytes of every place that a person or a program could read later."""
    client = production.store._client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="evergreen"):
        for one in page["Contents"]:
            yield (
                ("bucket", one["Key"]),
                client.get_object(Bucket="evergreen", Key=one["Key"])["Body"].read(),
            )
    for kind, database, query in (
        ("xcom", "airflow", "SELECT task_id, value::text FROM xcom"),
        (
            "rendered",
            "airflow",
            "SELECT task_id, rendered_fields::text FROM rendered_task_instance_fields",
        ),
        ("runs", "airflow", "SELECT run_id, conf::text FROM dag_run"),
        ("events", "airflow", "SELECT event, extra FROM log"),
        (
            "mlflow",
            "mlflow",
            "SELECT key, value FROM tags UNION ALL SELECT key, value FROM params "
            "UNION ALL SELECT key, value FROM model_version_tags",
        ),
    ):
        for number, (name, value) in enumerate(rows_of(production, database, query)):
            yield (kind, f"{name} {number}"), str(value).encode()
    for file in production.home.glob("*.log"):
        if file.name != "seaweedfs.log":  # moto's own log has the signed requests it was asked
            yield ("file", file.name), file.read_bytes()


def rows_of(production, database: str, query: str) -> list[tuple]:
    with (
        psycopg2.connect(
            host="127.0.0.1",
            port=production.ports["postgres"],
            user=database,
            dbname=database,
            password=production.secrets[f"{database.upper()}_DB_PASSWORD"],
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query)
        return cursor.fetchall()
