"""The tier of a test follows from its fixtures, and a unit test has no network."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support.tiers import (
    TIERS,
    NetworkInUnitTestError,
    lane_of,
    tier_of,
    without_network,
)

FILES = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize(
    ("fixtures", "tier"),
    [
        ([], "unit"),
        (["tmp_path", "spec"], "unit"),
        (["network"], "integration"),
        (["client", "mlflow_uri", "network"], "integration"),
        (["stack", "airflow_services", "network"], "e2e"),
    ],
)
def test_what_a_test_needs_decides_its_tier(fixtures, tier):
    assert tier_of(fixtures) == tier


@pytest.mark.parametrize(
    ("fixtures", "lane"),
    [
        (["network"], None),
        (["stack", "airflow_services"], "stack"),
        (["production", "airflow_services"], "celery"),
        (["scheduled_stack", "airflow_services"], "scheduled"),
    ],
)
def test_the_tests_of_a_stack_run_in_one_process(fixtures, lane):
    assert lane_of(fixtures) == lane


@pytest.mark.parametrize(
    ("fixture", "tier"),
    [
        ("raw_days", "unit"),
        ("store", "unit"),
        ("spec", "unit"),
        ("s3", "integration"),
        ("mlflow_uri", "integration"),
        ("client", "integration"),
        ("night", "integration"),
        ("trained", "integration"),
        ("serving", "integration"),
        ("new_history", "integration"),
        ("airflow_services", "e2e"),
    ],
)
def test_a_shared_fixture_brings_its_tier(request, fixture, tier):
    manager = request.session._fixturemanager
    names, _ = manager.getfixtureclosure(request.node, [fixture], ignore_args=())

    assert tier_of(names) == tier


def test_every_test_has_the_tier_of_its_fixtures_and_no_other(request):
    for item in request.session.items:
        marks = [mark.name for mark in item.iter_markers() if mark.name in TIERS]

        assert marks == [tier_of(item.fixturenames)], item.nodeid


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_tier_is_given_by_hand(path):
    assert not re.search(rf"pytest\.mark\.({'|'.join(TIERS)})\b", path.read_text())


def test_an_address_is_refused_in_a_unit_test():
    with socket.socket() as ours, pytest.raises(NetworkInUnitTestError, match=r"127\.0\.0\.1"):
        ours.connect(("127.0.0.1", 9))

    forget_what_was_refused()


def test_a_listening_server_is_refused_in_a_unit_test():
    with socket.socket() as ours, pytest.raises(NetworkInUnitTestError, match=r"socket\.bind"):
        ours.bind(("127.0.0.1", 0))

    forget_what_was_refused()


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "mlflow", "server"],
        [sys.executable, "-m", "evergreen", "serve"],
        ["/usr/lib/postgresql/15/bin/postgres", "-D", "x"],
        [sys.executable, "-m", "supervisor.supervisord", "-c", "x"],
    ],
    ids=lambda command: command[-1],
)
def test_a_server_in_a_child_is_refused_in_a_unit_test(command):
    with pytest.raises(NetworkInUnitTestError):
        subprocess.Popen(command)

    forget_what_was_refused()


def connect_and_go_on() -> None:
    with without_network(), socket.socket() as ours, contextlib.suppress(RuntimeError):
        ours.connect(("127.0.0.1", 9))


def test_an_error_that_a_library_catches_fails_the_test_all_the_same():
    with pytest.raises(NetworkInUnitTestError, match="ask for the fixture network"):
        connect_and_go_on()

    forget_what_was_refused()


def test_sockets_that_stay_on_the_machine_are_allowed():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")

        assert other.recv(1) == b"x"


def forget_what_was_refused() -> None:
    """Let this test pass although something was refused in it."""
    from tests.support import tiers

    tiers._guard.refused.clear()
