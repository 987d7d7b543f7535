"""Whatever its OpenAPI page allows, and much that it does not: never a fault of the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.serving import TOKEN, model_server

from evergreen.serving.inputs import MAX_NUMBER
from evergreen.spec import load_spec

#: Questions per page and kind of data; enough to try each field, few enough for every test run.
EXAMPLES = 100
INPUTS = load_spec("flight_delay").examples


@pytest.fixture(scope="module")
def server(serving, mlflow_uri, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    with model_server(serving.store.uri, mlflow_uri, cache, models="flight_delay") as found:
        yield found


def test_schemathesis_finds_no_fault_of_the_server(server, tmp_path):
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        "--url",
        server.url,
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance",
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        str(EXAMPLES),
        "--mode",
        "all",
        "--seed",
        "1",
        "--header",
        f"Authorization: Bearer {TOKEN}",
        "--exclude-path",
        "/metrics",
        f"{server.url}/openapi.json",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=500,
        cwd=tmp_path,
        env=os.environ | {"NO_COLOR": "1"},
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 9" in done.stdout
    page = server.http.get("/metrics").text
    assert 'requests_total{model="flight_delay",status="200"}' in page  # it came through to a model
    assert 'status="500"' not in page


def test_the_page_says_where_a_token_is_needed(server):
    page = server.http.get("/openapi.json").json()

    assert sorted(page["components"]["securitySchemes"]) == ["HTTPBasic", "HTTPBearer"]
    open_to_all = {
        path
        for path, operations in page["paths"].items()
        if not all(one.get("security") for one in operations.values())
    }
    assert open_to_all == {"/v2/health/live", "/v2/health/ready", "/ping"}


numbers = st.none() | st.floats(-MAX_NUMBER, MAX_NUMBER) | st.integers(-(10**38), 10**38)
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
rows = st.fixed_dictionaries(
    dict.fromkeys(INPUTS.numeric, numbers) | dict.fromkeys(INPUTS.categorical, texts)
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(rows, min_size=1, max_size=3))
def test_any_numbers_and_texts_are_answered(server, some):
    answer = server.http.post("/invocations", json={"dataframe_records": some})

    assert answer.status_code == 200, answer.text
    assert all(0 <= p <= 1 for pair in answer.json()["predictions"] for p in pair)
