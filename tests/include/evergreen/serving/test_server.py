"""What a caller of the model server may rely on, asked of a real one over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from datetime import UTC, datetime, timedelta

import httpx
import pandas as pd
import pytest
from tests.conftest import copy_mlflow, free_port, mlflow_server, wait_until
from tests.support.serving import TOKEN, calling, live_rows, model_server, split

from evergreen.data.parquet import from_parquet
from evergreen.modeling.prediction import predict
from evergreen.monitoring.service_levels import measure_service
from evergreen.scoring.scoring import load_scorer
from evergreen.storage.folder import FolderStore

MODEL = "flight_delay"


@pytest.fixture(scope="module")
def rows(serving) -> pd.DataFrame:
    return live_rows(serving)


@pytest.fixture(scope="module")
def serves(serving) -> str:
    """The version that serves; other tests register versions of the model before it."""
    return serving.champion()


@pytest.fixture(scope="module")
def server(serving, mlflow_uri, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    with model_server(
        serving.store.uri, mlflow_uri, cache, models=MODEL, max_body_mb=0.2, max_rows=500
    ) as found:
        yield found


@pytest.fixture(scope="module")
def truth(serving, rows):
    """What the champion says of the rows, asked without any server."""
    model = load_scorer(serving.client, serving.spec, serving.ledger().champion)
    types = dict.fromkeys(serving.spec.examples.numeric, "float64")
    frame = rows.astype(types | dict.fromkeys(serving.spec.examples.categorical, "str"))
    return predict(model, frame, spec=serving.spec.examples)


def tensors(rows: pd.DataFrame) -> dict:
    columns = [
        {"name": n, "shape": [len(rows)], "datatype": "FP64", "data": rows[n].tolist()}
        for n in rows
    ]
    return {"id": "q-1", "inputs": columns}


def test_both_forms_say_what_the_model_says_and_who_said_it(server, rows, truth, serves):
    infer = server.http.post(f"/v2/models/{MODEL}/infer", json=tensors(rows))
    invocations = server.http.post("/invocations", json=split(rows))
    records = server.http.post(
        f"/models/{MODEL}/invocations", json={"dataframe_records": rows.to_dict("records")}
    )

    said = infer.json()
    assert (said["id"], said["model_name"], said["model_version"]) == ("q-1", MODEL, serves)
    assert [output["name"] for output in said["outputs"]] == ["score", "version"]
    assert said["outputs"][0]["data"] == pytest.approx(truth, rel=1e-9)
    assert said["outputs"][1]["data"] == [serves] * len(rows)
    pairs = [[1 - p, p] for p in truth]
    assert invocations.json()["predictions"] == [pytest.approx(p, rel=1e-9) for p in pairs]
    assert records.json()["predictions"] == invocations.json()["predictions"]


def test_the_model_is_described(server, serving, serves):
    found = server.http.get(f"/v2/models/{MODEL}").json()

    assert [column["name"] for column in found["inputs"]] == list(serving.spec.examples.features)
    assert found["parameters"]["champion"] == serves
    assert server.http.get(f"/v2/models/{MODEL}/ready").json()["version"] == serves
    assert server.http.get("/v2").json()["models"] == [MODEL]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temp": "warm"}, "row 0, column temp: found str 'warm', expected a number"),
        ({"temp": True}, "row 0, column temp: found bool 'True', expected a number"),
        ({"temp": 1e39}, "row 0, column temp: found float '1e+39', expected a number within 32"),
        ({"carrier": 7.5}, "row 0, column carrier: found float '7.5', expected a string"),
        ({"carrier": "x" * 2000}, "expected a string of at most 1000 characters"),
        ({"tempp": 5}, "did you mean temp?"),
    ],
)
def test_bad_input_names_row_and_column_found_and_expected(server, rows, change, message):
    answer = server.http.post("/invocations", json=split(rows.head(1).assign(**change)))

    assert answer.status_code == 422
    assert message in answer.json()["error"] + json.dumps(answer.json()["details"])


def test_a_missing_column_and_a_short_row_are_named(server, rows):
    one = rows.head(2)
    short = split(one)
    short["dataframe_split"]["data"][1].pop()

    missing = server.http.post("/invocations", json=split(one.drop(columns="humid")))
    uneven = server.http.post("/invocations", json=short)

    assert missing.status_code == uneven.status_code == 422
    assert missing.json()["error"].startswith("column humid: found nothing")
    columns = len(one.columns)
    assert uneven.json()["error"] == f"row 1: found {columns - 1} values, expected {columns}"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"inputs": NaN}', b'"\\ud800"', b"\xff"])
def test_what_is_no_question_is_refused_not_failed(server, body):
    headers = {"Content-Type": "application/json"}

    answer = server.http.post(f"/v2/models/{MODEL}/infer", content=body, headers=headers)

    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_null_stands_for_unknown(server, rows):
    unknown = rows.head(1).assign(temp=None, carrier=None)

    assert server.http.post("/invocations", json=split(unknown)).status_code == 200


def test_nobody_comes_in_without_a_token_but_for_health(server, rows):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        server_side = server.http
        server_side.headers.clear()
        answer = server_side.post("/invocations", json=split(rows.head(1)), headers=headers)
        assert answer.status_code == 401
        assert server_side.get("/metrics", headers=headers).status_code == 401
        assert server_side.get("/openapi.json", headers=headers).status_code == 401
        assert server_side.get("/v2/health/live", headers=headers).status_code == 200


def test_a_person_sees_who_answers_and_how_to_ask(server, serves):
    """Opened in a browser, which asks for the token as a password; the page needs no script."""
    page = httpx.get(server.url, auth=("anybody", TOKEN)).text

    assert "Ready" in page
    assert f"version {serves}" in page
    assert "/models/flight_delay/invocations" in page
    assert "<script" not in page
    refused = httpx.get(server.url, auth=("anybody", "wrong"))
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic realm=")
    assert httpx.get(server.url, headers={"Authorization": "Basic %%%"}).status_code == 401


def test_too_much_is_refused_before_it_is_read(server, rows):
    many = pd.concat([rows] * 3)
    announced = server.http.post("/invocations", json=split(pd.concat([many] * 20)))

    def endless():
        for _ in range(100):
            yield b" " * 10_000

    unannounced = server.http.post("/invocations", content=endless())

    assert announced.status_code == 413
    assert unannounced.status_code == 413
    assert "larger than 209715 bytes" in announced.json()["error"]
    too_many_rows = server.http.post(
        f"/v2/models/{MODEL}/infer",
        json={"inputs": [{"name": "hour", "shape": [501], "datatype": "FP64", "data": [1] * 501}]},
    )
    assert too_many_rows.status_code == 422
    assert "found 501 rows, expected 1 to 500" in too_many_rows.json()["error"]


def test_an_unknown_model_is_named_with_the_known_ones(server):
    answer = server.http.get("/v2/models/flight_delays")

    assert answer.status_code == 404
    assert answer.json()["error"] == f"no model 'flight_delays' here; there are: {MODEL}"


def test_the_request_log_is_what_monitor_reads(server, serving, rows, serves):
    day = datetime.now(UTC).date()
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    server.http.post("/invocations", json=split(rows.head(3)))
    server.http.post("/invocations", json={})

    def lines() -> pd.DataFrame:
        keys = serving.store.list(f"requests/{MODEL}/{day}/")
        return pd.concat([from_parquet(serving.store.get(key)) for key in keys])

    wait_until(
        lambda: len(list(serving.store.list(f"requests/{MODEL}/{day}/"))) > 0,
        within_s=60,
        what="the request log",
    )
    time.sleep(1.5)
    found = measure_service(serving.store, serving.spec, as_of=as_of)

    assert found.requests == pytest.approx(lines()["weight"].sum())
    assert found.by_version[serves] > 0
    assert 0 < found.p50_ms <= found.p95_ms
    assert set(lines()["status"]) <= {200, 422}
    assert not set(lines().columns) & set(serving.spec.examples.features)


def test_prometheus_finds_its_numbers(server, rows, serves):
    server.http.post("/invocations", json=split(rows.head(4)))

    page = server.http.get("/metrics").text

    labels = f'model="flight_delay",role="champion",version="{serves}"'
    assert f"evergreen_model{{{labels}}} 1.0" in page
    assert 'evergreen_requests_total{model="flight_delay",status="200"}' in page
    assert "evergreen_request_seconds_bucket" in page
    assert f'evergreen_queued_rows{{model="flight_delay",version="{serves}"}} 0.0' in page


def test_a_killed_process_is_replaced_and_no_request_is_lost(server, rows, serves):
    with calling(server, MODEL, rows, callers=2) as callers:
        callers.wait_for_more(20)
        for child in workers_of(server.process.pid):
            os.kill(child, signal.SIGKILL)
        restarted = f'restarts_total{{model="flight_delay",version="{serves}"}} 1.0'
        wait_until(
            lambda: restarted in server.http.get("/metrics").text, within_s=60, what="a restart"
        )
        callers.wait_for_more(20)

    assert callers.errors == []
    assert callers.statuses == {200: callers.sent}


def test_told_to_stop_it_answers_everything_it_took(serving, mlflow_uri, rows, tmp_path):
    """A balancer sees "not ready" first and sends nothing more; then the port closes."""
    with model_server(serving.store.uri, mlflow_uri, tmp_path, models=MODEL, drain_s=2) as server:
        url = f"servers/{json.loads(server.http.get('/v2').text)['replica']}.json"
        assert serving.store.head(url) is not None
        with calling(server, MODEL, rows, callers=2) as callers:
            callers.wait_for_more(20)
            server.process.terminate()
            wait_until(lambda: not server.ready(), within_s=2, what="not ready")
        workers = workers_of(server.process.pid)
        server.process.wait(30)

    assert callers.errors == []
    assert callers.statuses == {200: callers.sent}
    assert serving.store.head(url) is None  # it took leave
    assert not any(is_alive(pid) for pid in workers)


def test_registry_and_store_down_it_starts_again_and_serves(
    serving, mlflow_home, tmp_path, rows, truth
):
    """The last good version comes from the server's own disk, its digest checked."""
    shutil.copytree(serving.store.root, tmp_path / "store")
    store = FolderStore(tmp_path / "store")
    copy_mlflow(mlflow_home, tmp_path / "mlflow")
    port = free_port()
    with (
        mlflow_server(tmp_path / "mlflow") as registry,
        model_server(store.uri, registry, tmp_path / "cache", models=MODEL, port=port) as server,
    ):
        assert server.http.post("/invocations", json=split(rows.head(1))).status_code == 200
        before = server.about(MODEL)
    (tmp_path / "store").rename(tmp_path / "gone")
    (tmp_path / "store").write_text("a disk that failed")

    with model_server(store.uri, registry, tmp_path / "cache", models=MODEL) as server:
        said = server.http.post(f"/v2/models/{MODEL}/infer", json=tensors(rows)).json()
        wait_until(lambda: server.about(MODEL)["problem"], within_s=60, what="problem")

        assert said["outputs"][0]["data"] == pytest.approx(truth, rel=1e-9)
        assert server.about(MODEL)["champion"] == before["champion"]
        assert "names no champion; is it the right one?" in server.about(MODEL)["problem"]
        assert 'evergreen_problem{model="flight_delay"} 1.0' in server.http.get("/metrics").text


def test_a_model_that_rotted_on_disk_is_not_served(serving, tmp_path, rows):
    with model_server(
        serving.store.uri, serving.client.tracking_uri, tmp_path, models=MODEL
    ) as server:
        assert server.http.post("/invocations", json=split(rows.head(1))).status_code == 200
    artifact = next(tmp_path.rglob("model.skops"))
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"x")

    with model_server(
        "file:///nowhere/at/all", "http://127.0.0.1:9", tmp_path, models=MODEL, wait=False
    ) as server:
        wait_until(lambda: answers(server), within_s=90, what="the server")
        time.sleep(1)

        assert not server.ready()
        answer = server.http.post("/invocations", json=split(rows.head(1)))
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "2"
        assert "no version of flight_delay is loaded yet" in answer.json()["error"]


def test_it_does_not_start_open_to_all_by_itself(network, tmp_path):
    with model_server("file:///s", "http://127.0.0.1:9", tmp_path, wait=False, tokens="") as server:
        assert server.process.wait(30) == 1

    assert "or open it to all with EVERGREEN_SERVING_AUTH=off" in server.log.read_text()


def answers(server) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(server.url.rpartition(":")[2]))) == 0


def workers_of(pid: int) -> list[int]:
    """Return the processes that hold models, not multiprocessing's own tracker."""
    import psutil

    children = psutil.Process(pid).children()
    return [c.pid for c in children if "spawn_main" in " ".join(c.cmdline())]


def is_alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
