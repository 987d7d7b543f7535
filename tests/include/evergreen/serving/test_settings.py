"""The variables of a model server: defaults, and what a wrong one is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from evergreen.errors import StackError
from evergreen.serving.settings import ServerSettings, read_server_settings

TOKEN = "a-token-for-the-tests"
GIVEN = {"store": "file:///s", "mlflow": "http://127.0.0.1:9", "cache": "/c", "tokens": TOKEN}


def read(**asked: str) -> ServerSettings:
    return read_server_settings(
        {f"EVERGREEN_SERVING_{name.upper()}": value for name, value in (GIVEN | asked).items()}
    )


def test_what_is_not_given_has_a_default():
    found = read(host="", workers="2", poll_s="0.5")

    assert (found.host, found.port, found.workers, found.poll_s) == ("127.0.0.1", 8088, 2, 0.5)
    assert (found.store, found.cache, found.models) == ("file:///s", Path("/c"), ())
    assert found.auth is True


def test_lists_are_separated_by_commas():
    found = read(tokens=f"{TOKEN},another-token-of-the-tests", models="a,b")

    assert found.tokens == (TOKEN, "another-token-of-the-tests")
    assert found.models == ("a", "b")


def test_every_server_has_a_name_of_its_own():
    assert read().replica != read().replica
    assert read(replica="one").replica == "one"


def test_the_environment_of_the_process_is_not_read(monkeypatch):
    monkeypatch.setenv("EVERGREEN_SERVING_PORT", "9000")

    assert read().port == 8088


def test_a_server_open_to_all_needs_no_token():
    assert read(auth="off", tokens="").tokens == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tokens": ""}, "EVERGREEN_SERVING_TOKENS is empty"),
        ({"tokens": "short"}, "EVERGREEN_SERVING_TOKENS: String should have at least 16"),
        ({"cache": ""}, "EVERGREEN_SERVING_CACHE: missing; set it"),
        ({"port": "http"}, "EVERGREEN_SERVING_PORT: Input should be a valid integer"),
        ({"auth": "perhaps"}, "EVERGREEN_SERVING_AUTH: Input should be a valid boolean"),
    ],
)
def test_what_it_cannot_start_with_is_named(asked, message):
    with pytest.raises(StackError) as error:
        read(**asked)

    assert message in str(error.value)
    assert "short" not in str(error.value)  # a token reaches no log


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(StackError) as error:
        read(store="nowhere", cache="", port="0", log_share="2")

    assert str(error.value).splitlines() == [
        "The model server was not started:",
        r"EVERGREEN_SERVING_STORE: String should match pattern '^\w+://'.",
        "EVERGREEN_SERVING_CACHE: missing; set it.",
        "EVERGREEN_SERVING_PORT: Input should be greater than or equal to 1.",
        "EVERGREEN_SERVING_LOG_SHARE: Input should be less than or equal to 1.",
    ]
