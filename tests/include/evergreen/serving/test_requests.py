"""Whole requests, with whatever a caller may send: no input fails the server or its log."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.data.parquet import from_parquet
from evergreen.serving import worker
from evergreen.serving.app import make_app
from evergreen.serving.endpoint import ServedVersions
from evergreen.serving.inputs import EXPECTED_KEY, EXPECTED_TIME
from evergreen.serving.request_log import EVENT_DAY, KEY
from evergreen.serving.served_version import PredictionError
from evergreen.serving.server import ModelServer
from evergreen.serving.settings import ServerSettings
from evergreen.spec import load_spec

MODEL = "flight_delay"
SPEC = load_spec(MODEL).examples
NUMBER, TEXT, TIME = SPEC.numeric[0], SPEC.categorical[0], SPEC.event_time
#: Parts of the entity's key that are no inputs; those are checked as inputs.
KEYS = [name for name in SPEC.entity_key if name not in SPEC.features]
INFER, INVOCATIONS = f"/v2/models/{MODEL}/infer", f"/models/{MODEL}/invocations"
HALF = "\ud800"  # half of a surrogate pair: JSON can carry it, UTF-8 cannot
#: Whole requests that are generated, by kind.
REQUESTS, BODIES = 400, 150


class Model:
    """Predicts 0.5 and was fitted on every input of the spec."""

    classes_ = np.array([False, True])

    def predict_proba(self, rows):
        return np.full((len(rows), 2), 0.5)


class Version:
    """A version whose rows become a frame as in the process of a real one."""

    version, name, inputs, classes = "1", "flight_delay 1", SPEC.features, ("False", "True")
    queued_rows = batches = restarts = 0
    predict_s = 0.0

    async def predict(self, columns, rows, *, within_s):
        try:
            return worker.predict_batch(columns)[0]
        except Exception as error:
            raise PredictionError(str(error)) from error


class Clock:
    """Each instant is a second later than the one before, so that no object is written twice."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    server = ModelServer(
        ServerSettings(
            store=f"file://{folder}/store",
            mlflow="http://127.0.0.1:9",
            cache=folder / "cache",
            auth=False,
            models=(MODEL,),
            max_rows=5,
        ),
        clock=Clock(),
    )
    worker._loaded.update(model=Model(), spec=SPEC, inputs=SPEC.features)
    asyncio.run(server.models.update())
    server.followers[MODEL].endpoint.traffic = ServedVersions(champion=Version())
    yield server
    worker._loaded.clear()


@pytest.fixture(scope="module")
def http(server):
    return TestClient(make_app(server), raise_server_exceptions=False)


@pytest.fixture(autouse=True)
def _empty_log(server):
    logged(server)


def good(**changed) -> dict:
    row = dict.fromkeys(SPEC.numeric, 1.0) | dict.fromkeys(SPEC.categorical, "A")
    row |= dict.fromkeys(KEYS, "k") | {TIME: "2026-01-01T10:00:00Z"}
    return row | changed


def records(*rows: dict) -> dict:
    return {"dataframe_records": list(rows)}


def tensors(rows: list[dict], *, datatype: str = "FP64") -> dict:
    return {
        "inputs": [
            {
                "name": name,
                "shape": [len(rows)],
                "datatype": datatype,
                "data": [row.get(name) for row in rows],
            }
            for name in rows[0]
        ]
    }


def logged(server) -> tuple[Counter, int]:
    """Return what the log holds since the last call: requests by status, and whole rows."""
    asyncio.run(server.log.flush())
    statuses, rows = Counter(), 0
    for key in list(server.store.list("")):
        frame = from_parquet(server.store.get(key))
        if key.startswith("requests/"):
            statuses.update(frame["status"].tolist())
        else:
            assert EVENT_DAY not in frame
            rows += len(frame)
        server.store.delete(key)
    return statuses, rows


def send(http, path: str, body: object):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post(path, content=content, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (INVOCATIONS, records(good(**{HALF: 1})), r"column \ud800: found an unknown column"),
        (INVOCATIONS, records(good(), good(**{HALF: 1})), r"row 0 in column \ud800"),
        (INFER, tensors([good(**{HALF: 1})]), r"column \ud800: found an unknown column"),
        (INFER, {"inputs": tensors([{HALF: 1}])["inputs"] * 2}, r"input \ud800: found 1 values"),
        (INVOCATIONS, records(good()) | {HALF: 1}, "body: Input should be a valid string"),
        (INVOCATIONS, records(good(**{TEXT: HALF})), rf"column {TEXT}: found str '\ud800'"),
    ],
)
def test_half_of_a_surrogate_pair_is_named_in_an_answer_that_can_be_read(http, path, body, message):
    answer = send(http, path, body)

    assert answer.status_code == 422
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "1970-01-01T00:30:00+01:00",
        "yesterday",
        "",
        HALF,
        1767225600,
        True,
        [1],
        {"a": 1},
    ],
)
def test_a_time_that_is_none_is_refused_and_logged_as_refused(http, server, value):
    answer = send(http, INVOCATIONS, records(good(**{TIME: value})))

    assert answer.status_code == 422
    assert EXPECTED_TIME in json.dumps(answer.json())
    assert logged(server) == (Counter({422: 1}), 0)


@pytest.mark.parametrize("value", [None, "2026-01-01", "1970-01-01T00:00:00Z", "2199-12-31"])
def test_a_time_or_null_is_taken(http, server, value):
    assert send(http, INVOCATIONS, records(good(**{TIME: value}))).status_code == 200
    assert logged(server) == (Counter({200: 1}), 1)


@pytest.mark.parametrize(
    "value", [HALF, "x" * 1001, math.nan, math.inf, 10**1000, [1], {"a": HALF}]
)
@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_names_no_entity_is_refused(http, server, name, value):
    answer = send(http, INVOCATIONS, records(good(**{name: value})))

    assert answer.status_code == 422
    assert EXPECTED_KEY in json.dumps(answer.json())
    assert logged(server) == (Counter({422: 1}), 0)


@pytest.mark.parametrize("value", [None, "", "x" * 1000, 7, -(10**998), 1.5, True, "\N{SNOWMAN}"])
@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_names_an_entity_is_taken_and_logged_as_text(http, server, name, value):
    assert send(http, INVOCATIONS, records(good(**{name: value}))).status_code == 200
    assert server.log._rows[MODEL][0][f"{KEY}{name}"] == str(value)
    assert logged(server) == (Counter({200: 1}), 1)


def test_an_integer_of_a_category_is_its_decimal_text(http, server):
    assert send(http, INVOCATIONS, records(good(**{TEXT: 7}))).status_code == 200
    assert server.log._rows[MODEL][0][TEXT] == "7"


@pytest.mark.parametrize(
    ("name", "value", "logged_as"),
    [(NUMBER, True, 1.0), (NUMBER, None, None), (TEXT, False, "False"), (TEXT, "A", "A")],
)
def test_a_tensor_of_booleans_is_converted_as_a_column_of_training_is(
    http, server, name, value, logged_as
):
    body = tensors([good(**{name: value})])
    for tensor in body["inputs"]:
        tensor["datatype"] = "BOOL" if tensor["name"] == name else tensor["datatype"]

    assert send(http, INFER, body).status_code == 200
    assert server.log._rows[MODEL][0][name] == logged_as


def test_a_boolean_that_is_not_declared_is_no_number(http):
    assert send(http, INFER, tensors([good(**{NUMBER: True})])).status_code == 422


odd_texts = st.text(st.characters() | st.sampled_from(["\ud800", "\udfff", "\x00"]), max_size=20)
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**1100), 10**1100),
    st.floats(),
    odd_texts,
    st.datetimes().map(lambda t: f"{t.isoformat()}+14:00"),
    st.datetimes().map(lambda t: f"{t.isoformat()}-12:00"),
    st.recursive(st.none() | odd_texts, lambda inner: st.lists(inner, max_size=2), max_leaves=3),
)
columns = st.sampled_from(list(good())) | odd_texts
changes = st.dictionaries(columns, odd_values, max_size=3)
times = st.integers(0, 7_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC).isoformat())
good_values = st.fixed_dictionaries(
    dict.fromkeys(SPEC.numeric, st.none() | st.floats(-1e38, 1e38) | st.integers(-9, 9))
    | dict.fromkeys(SPEC.categorical, st.none() | st.integers() | st.text(max_size=9))
    | dict.fromkeys(KEYS, st.none() | st.integers() | st.booleans() | st.text())
    | {TIME: st.none() | times}
)


@st.composite
def questions(draw) -> tuple[str, object, int]:
    """Draw a route, a body, and the number of rows in it."""
    rows = draw(st.lists(good_values, min_size=1, max_size=6))
    alter = st.none() | changes | changes.map(lambda found: {k: found[k] for k in list(found)[:1]})
    if draw(st.booleans()):  # the same columns in each row, else it is refused for that alone
        extra = draw(alter) or {}
        rows = [row | extra for row in rows]
    elif draw(st.booleans()):
        rows = [row | (draw(alter) or {}) for row in rows]
    form = draw(st.sampled_from(["records", "split", "tensors"]))
    datatype = draw(st.sampled_from(["FP64", "BYTES", "BOOL"]) | odd_texts)
    names = list(rows[0])
    body: dict = {
        "records": records(*rows),
        "split": {"dataframe_split": {"columns": names, "data": [list(r.values()) for r in rows]}},
        "tensors": tensors(rows, datatype=datatype),
    }[form]
    body |= draw(
        st.just({}) | st.dictionaries(st.just("params") | odd_texts, odd_values, max_size=1)
    )
    if form == "tensors" and draw(st.booleans()):
        body["id"] = draw(odd_texts)
    paths = [INFER] if form == "tensors" else ["/invocations", INVOCATIONS]
    other = draw(st.integers(0, 9)) == 0
    return draw(st.sampled_from([INFER, INVOCATIONS] if other else paths)), body, len(rows)


@settings(
    max_examples=REQUESTS, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(questions())
def test_no_request_fails_the_server_and_each_answered_one_is_in_the_log(http, server, question):
    path, body, rows = question

    answer = send(http, path, body)

    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or answer.json()["error"]
    statuses, whole = logged(server)
    if answer.status_code == 200:
        assert (statuses, whole) == (Counter({200: 1}), rows)
    else:
        assert set(statuses) <= {answer.status_code}
        assert whole == 0
    assert server.log.dropped == 0


@settings(
    max_examples=BODIES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(
    st.sampled_from([INFER, INVOCATIONS, "/invocations"]),
    st.binary(max_size=60) | odd_values.map(lambda value: json.dumps(value).encode()),
    odd_texts,
)
def test_no_body_and_no_name_of_a_model_fails_the_server(http, path, body, name):
    name = name.encode("utf-8", "surrogatepass")
    for answer in (
        send(http, path, body),
        http.get(f"/v2/models/{quote(name, safe='')}"),
        send(http, f"/models/{quote(name, safe='')}/invocations", records(good())),
    ):
        assert 400 <= answer.status_code < 500 or name == b"", answer.text
