"""The stages of a canary as a deferred task of a real run, with callers at a real model server."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from evergreen_airflow.embedded.settings import ensure_secrets
from tests.acceptance.conftest import wait_until


@pytest.fixture
def asking(scheduled_workflow):
    """Callers that ask the model again and again; what they heard."""
    settings = scheduled_workflow("canaried").stack.settings
    token = ensure_secrets(settings)[0]["serving_token"]
    results: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        http = httpx.Client(
            base_url=settings.serving_url, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        inputs = http.get("/v2/models/canaried").json()["inputs"]
        number = 0
        while not stop.is_set():
            number += 1
            values = [number % 60 if c["datatype"] == "FP64" else "JFK" for c in inputs]
            body = {"dataframe_split": {"columns": [c["name"] for c in inputs], "data": [values]}}
            answer = http.post("/models/canaried/invocations", json=body)
            said = answer.json()
            results.append((answer.status_code, (said.get("model_versions") or [str(said)])[0]))
            stop.wait(0.05)

    threads = [threading.Thread(target=ask) for _ in range(2)]

    def start() -> list[tuple[int, str]]:
        for thread in threads:
            thread.start()
        return results

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_a_version_proves_itself_deferred_and_reaches_everybody(scheduled_workflow, asking):
    model = scheduled_workflow("canaried")
    stack = model.stack
    (first,) = model.past((1, "poor"))
    assert first["moved"]
    token = ensure_secrets(stack.settings)[0]["serving_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    ready = f"{stack.settings.serving_url}/v2/models/canaried/ready"
    wait_until(lambda: httpx.get(ready, headers=bearer).is_success, within_s=180, what="the server")
    results = asking()

    run_id = "night-2"
    model.start("retrain", run_id, as_of="2013-03-02T06:00:00+00:00", candidates=["linear"])
    states = set()

    def deploying() -> dict:
        tasks = {task["task_id"]: task for task in model.tasks("retrain", run_id)}
        states.add(tasks["deploy_model"]["state"])
        return tasks["deploy_model"]

    wait_until(lambda: deploying()["state"] in ("success", "failed"), within_s=240, what="deploy")
    model.wait_for("retrain", run_id)
    log = model.log("retrain", run_id, "deploy_model")

    assert model.receipt("retrain", run_id, "deploy_model")["moved"], log
    assert "deferred" in states  # it held no worker while it watched
    assert model.champion() == "2"
    steps = [str(e.stage or e.step) for e in model.ledger().entries if e.version == "2"]
    assert steps == ["load", "shadow", "canary 50%", "intent", "outcome"]
    for message in (
        "1 servers loaded and probed it; now shadow",
        "Its way to the callers",
        "Version 2 is the new champion",
    ):
        assert message in log, log
    wait_until(lambda: results[-1][1] == "2", within_s=90, what="version 2 for everybody")
    assert {status for status, _ in results} == {200}
    assert {version for _, version in results} == {"1", "2"}
    assert model.errors() == []
    assert json.loads(next(iter(model.store.get(k) for k in model.store.list("servers/"))))[
        "models"
    ] == {"canaried": "2"}
