"""
docker-compose.yaml as a whole, started on a Docker engine: `make test-compose`.

No registry is asked: images that are not ours are stand-ins (stand_ins/Dockerfile), and the engine
is the test's own. `make test-compose IMAGES=real` takes the engine that answers and real images.
`make test` leaves this out, for its time: pytest collects it only by name.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from evergreen_airflow.embedded.api import FINISHED, AirflowApi
from evergreen_airflow.production import make_secrets
from tests.compose.engine import Engine, engine_of_its_own, engine_that_answers
from tests.compose.stand_ins import build_stand_ins, wanted
from tests.conftest import ROOT, free_port, wait_until
from tests.support.production import compose

pytestmark = pytest.mark.timeout(2400)

MODEL = "flight_delay"
PORTS = ("AIRFLOW_PORT", "MLFLOW_PORT", "SERVING_PORT", "GRAFANA_PORT")
#: Says which objects lie below a prefix of the bucket, with MLflow's own keys.
LIST = """
import sys, boto3
found = boto3.client("s3").list_objects_v2(Bucket="evergreen", Prefix=sys.argv[1])
print(*[one["Key"] for one in found.get("Contents", [])], sep="\\n")
"""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The services, and how to talk to them."""

    engine: Engine
    secrets: dict[str, str]
    environ: dict[str, str]

    def compose(self, *arguments: str, **more: str) -> str:
        return self.engine.run(
            "docker", "compose", "--project-directory", ROOT, *arguments, **self.environ | more
        )

    def inside(self, service: str, *command: str) -> str:
        """Run *command* in the first container of *service*."""
        return self.compose("exec", "--no-TTY", service, *command)

    def url(self, port: str) -> str:
        return f"http://localhost:{self.environ[port]}"

    def containers(self) -> list[dict[str, Any]]:
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def api(self) -> AirflowApi:
        settings = SimpleNamespace(airflow_url=self.url("AIRFLOW_PORT"))
        password = json.loads(self.secrets["AIRFLOW_PASSWORDS"])["admin"]
        return AirflowApi(settings, password=password)

    def champion(self) -> dict[str, Any]:
        query = {"name": MODEL, "alias": "champion"}
        path = f"{self.url('MLFLOW_PORT')}/api/2.0/mlflow/registered-models/alias"
        return httpx.get(path, params=query, timeout=60).raise_for_status().json()["model_version"]


@pytest.fixture(scope="module")
def clock() -> Iterator[dict[str, float]]:
    """Seconds of each step; printed at the end."""
    steps: dict[str, float] = {}
    yield steps
    print("\n" + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in steps.items()))


@pytest.fixture(scope="module")
def env_file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compose") / ".env"


@pytest.fixture(scope="module")
def secrets(env_file) -> dict[str, str]:
    return make_secrets(env_file)


@pytest.fixture(scope="module")
def engine(clock, secrets) -> Iterator[Engine]:
    is_real = os.environ.get("IMAGES") == "real"
    with engine_that_answers() if is_real else engine_of_its_own() as found:
        begun = time.monotonic()
        if not is_real:
            build_stand_ins(found, wanted(compose(secrets)["services"]))
        clock["stand-ins"] = time.monotonic() - begun
        yield found


@pytest.fixture(scope="module")
def stack(engine, clock, env_file, secrets) -> Iterator[Stack]:
    environ = {
        "COMPOSE_PROJECT_NAME": f"evergreen-test-{os.getpid()}",
        "COMPOSE_ENV_FILES": str(env_file),
        "COMPOSE_PROFILES": "observability",
        "COMPOSE_PROGRESS": "plain",
        "EVERGREEN_VERSION": "test",
        **{name: str(free_port()) for name in PORTS},
    }
    found = Stack(engine=engine, secrets=secrets, environ=environ)
    begun = time.monotonic()
    engine.run("make", "--directory", ROOT, "compose-build", **environ)
    clock["build"] = time.monotonic() - begun
    try:
        begun = time.monotonic()
        found.compose("up", "--wait", "--wait-timeout", "600")
        clock["up"] = time.monotonic() - begun
        yield found
    except AssertionError:
        print(found.compose("logs", "--tail", "15"))
        raise
    finally:
        found.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")


def test_every_service_is_up_and_healthy(stack):
    states = {
        one["Name"]: (one["Service"], one["State"], one["Health"]) for one in stack.containers()
    }

    assert {service for service, _, _ in states.values()} == set(compose(stack.secrets)["services"])
    for service, *state in states.values():
        assert state == (["exited", ""] if service == "setup" else ["running", "healthy"]), states


def test_no_process_is_root_or_can_become_it(stack):
    for service in {one["Service"] for one in stack.containers()} - {"setup"}:
        status = dict(
            line.split(":\t", 1)
            for line in stack.inside(service, "cat", "/proc/1/status").splitlines()
            if ":\t" in line
        )

        assert "0" not in status["Uid"].split(), service
        assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0, service
        assert status["NoNewPrivs"] == "1", service


def test_airflow_answers_behind_its_login_and_reads_every_dag(stack):
    assert httpx.get(f"{stack.url('AIRFLOW_PORT')}/api/v2/dags").status_code == 401
    wait_until(lambda: stack.api.has_dag(f"{MODEL}__retrain"), within_s=120, what="DAGs")

    assert stack.api.import_errors() == []


@pytest.fixture(scope="module")
def first_night(stack, clock) -> list[dict[str, Any]]:
    """Wait for the first scheduled night of a fresh install; return its tasks."""
    dag_id, api, begun = f"{MODEL}__retrain", stack.api, time.monotonic()

    def runs() -> list[dict[str, Any]]:
        return api.get(f"/dags/{dag_id}/dagRuns")["dag_runs"]

    wait_until(lambda: bool(runs()), within_s=300, what="a scheduled run")
    run_id = runs()[0]["dag_run_id"]
    wait_until(lambda: api.state(dag_id, run_id) in FINISHED, within_s=1200, what="the night's end")
    clock["first night, after up"] = time.monotonic() - begun
    tasks = api.tasks(dag_id, run_id)
    assert api.state(dag_id, run_id) == "success", {t["task_id"]: t["state"] for t in tasks}
    return tasks


def test_the_first_night_ran_on_the_workers_and_its_logs_are_in_the_bucket(stack, first_night):
    workers = {
        stack.compose("exec", "--no-TTY", "--index", str(n), "worker", "hostname").strip()
        for n in (1, 2)
    }
    ran = [task for task in first_night if task["hostname"]]

    assert len(ran) > 5
    assert {task["hostname"] for task in ran} <= workers
    task = next(task for task in ran if task["task_id"] == "register_model")
    prefix = f"logs/dag_id={task['dag_id']}/run_id={task['dag_run_id']}/task_id=register_model/"
    assert f"{prefix}attempt=1.log" in stack.inside("mlflow", "python", "-c", LIST, prefix)
    assert any(stack.api.log(task["dag_id"], task["dag_run_id"], task))


def test_the_version_knows_its_commit(stack, first_night):
    tags = {tag["key"]: tag["value"] for tag in stack.champion()["tags"]}

    assert tags["evergreen.git_sha"] == said("git", "rev-parse", "HEAD")
    assert tags["evergreen.git_dirty"] == ("yes" if said("git", "status", "--porcelain") else "no")


def test_model_servers_answer_through_the_gateway_to_who_has_the_token(stack, first_night):
    url = f"{stack.url('SERVING_PORT')}/v2/models/{MODEL}"
    token = {"Authorization": f"Bearer {stack.secrets['SERVING_TOKEN']}"}

    def versions() -> list[str] | None:
        answer = httpx.get(url, headers=token)  # 502 or 503 as long as none is loaded
        return answer.json()["versions"] if answer.is_success else None

    wait_until(lambda: versions() == ["1"], within_s=60, what="the champion on the servers")
    assert httpx.get(url).status_code == 401


def test_prometheus_reaches_both_servers_with_the_token(stack):
    def states() -> list[str]:
        said = stack.inside("prometheus", "wget", "-qO-", "http://localhost:9090/api/v1/targets")
        return [one["health"] for one in json.loads(said)["data"]["activeTargets"]]

    wait_until(lambda: states() == ["up", "up"], within_s=60, what="two servers scraped")


def test_what_was_kept_is_there_after_new_containers(stack, first_night):
    before = stack.champion()

    stack.compose("up", "--wait", "--force-recreate", "--no-deps", "postgres", "seaweedfs", "redis")

    # The first connection of MLflow's pool is one to the server that was.
    wait_until(lambda: can(stack.champion) == before, within_s=60, what="MLflow")
    assert stack.inside("mlflow", "python", "-c", LIST, "mlflow/").strip()


def test_an_image_without_its_commit_says_why(stack):
    build = ("build", "setup")
    stack.compose(*build, EVERGREEN_VERSION="no-commit", GIT_SHA="", GIT_DIRTY="")

    ask = "from evergreen.digests import git_state; print(git_state())"
    said = stack.engine.docker("run", "--rm", "evergreen-airflow:no-commit", "python", "-c", ask)
    stack.engine.docker("rmi", "evergreen-airflow:no-commit")

    assert "unknown: the image was built without GIT_SHA; make compose-build gives it" in said


def said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def can(ask: Any) -> Any:
    """Return what *ask* returns, ``None`` if there was no answer."""
    try:
        return ask()
    except httpx.HTTPError:
        return None
