"""Files that a power loss left behind never stop a start, and never name a stranger's process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from evergreen.errors import StackError
from evergreen_airflow.embedded import processes
from evergreen_airflow.embedded.settings import Settings, ensure_secrets


@pytest.fixture
def stack(tmp_path) -> Settings:
    return Settings(home=tmp_path)


def remember(stack: Settings, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (stack.home / "session.json").write_bytes(data)


JUNK = ["", "{", "[]", "7", '{"session": 1}', '{"session": "x", "created": 1}', "[" * 100_000]


@pytest.mark.parametrize("text", JUNK)
def test_a_session_file_that_cannot_be_read_names_none(stack, text):
    remember(stack, text)

    assert processes._session(stack) is None
    assert list(processes.ours(stack)) == []


@limits(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_whatever_lies_in_the_session_file_names_none(stack, data):
    """200 generated contents."""
    remember(stack, data)

    assert processes._session(stack) is None


def test_a_number_that_a_stranger_has_now_names_none(stack):
    """After a reboot the number of our session may be that of any process."""
    mine = psutil.Process(os.getpid())
    remember(stack, json.dumps({"session": mine.pid, "created": mine.create_time() - 1}))

    assert processes._session(stack) is None


@pytest.mark.parametrize("text", ["", "junk", "999999999", "-1", "a stranger"])
def test_a_pid_file_names_supervisord_only_if_it_runs_with_our_config(stack, text):
    """The stranger is this test."""
    number = str(os.getpid()) if text == "a stranger" else text
    (stack.home / "supervisord.pid").write_text(number)

    assert processes._supervisord(stack, stack.home / "supervisord.conf") is None


def test_a_process_with_our_config_is_found(network, stack):
    config = stack.home / "supervisord.conf"
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(config)]
    with subprocess.Popen(command) as ours:
        try:
            (stack.home / "supervisord.pid").write_text(f"{ours.pid}\n")

            assert processes._supervisord(stack, config).pid == ours.pid
        finally:
            ours.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"admin_password": 7}'])
def test_secrets_that_cannot_be_read_are_named_and_kept(stack, text):
    stack.secrets_file.write_text(text)

    with pytest.raises(StackError, match=r"secrets\.json holds no JSON object .* backup"):
        ensure_secrets(stack)
    assert stack.secrets_file.read_text() == text
