"""The one command of Evergreen: what reaches the functions behind it, and its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from tests.conftest import ROOT
from typer.testing import CliRunner

from evergreen.errors import StackError
from evergreen_airflow import production
from evergreen_airflow.cli import app
from evergreen_airflow.embedded import demo, inspection, stack


def run(*arguments: str, **environ: str):
    return CliRunner(env=environ).invoke(app, list(arguments))


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Replace the start of the stack; the list has the folder of each start."""
    found: list[str] = []

    def up(settings, console):
        found.append(str(settings.home))
        return {"admin_password": "secret"}

    monkeypatch.setattr(stack, "up", up)
    return found


def test_up_starts_the_stack_that_the_environment_describes(started, tmp_path):
    done = run("up", EVERGREEN_HOME=str(tmp_path))

    assert done.exit_code == 0
    assert started == [str(tmp_path)]


def test_a_wrong_setting_ends_with_1_and_is_named(started):
    done = run("up", EVERGREEN_MLFLOW_PORT="x")

    assert done.exit_code == 1
    assert "EVERGREEN_MLFLOW_PORT is 'x', expected a port from 1024 to 65535." in done.stderr
    assert started == []


@pytest.mark.parametrize(
    ("options", "as_of"),
    [
        ([], datetime(2013, 7, 1, tzinfo=UTC)),
        (["--as-of", "2013-08-01T02:00:00+02:00"], datetime(2013, 8, 1, tzinfo=UTC)),
    ],
)
def test_the_demo_runs_for_the_instant_that_is_asked_for(started, monkeypatch, options, as_of):
    asked = {}
    monkeypatch.setattr(demo, "run_demo", lambda _, **given: asked.update(given) or {"retrain": 7})

    done = run("demo", *options)

    assert done.exit_code == 0
    assert (asked["as_of"], asked["password"]) == (as_of, "secret")
    assert "retrain 7 s" in done.stdout


def test_an_instant_without_a_time_zone_is_refused_before_the_start(started):
    done = run("demo", "--as-of", "2013-08-01")

    assert done.exit_code == 1
    assert "is not an instant with a time zone" in done.stderr
    assert started == []


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["dags", "list", "--output", "json"], ["tasks", "test", "--", "-x"], []],
)
def test_the_arguments_for_airflow_reach_it_unchanged(monkeypatch, arguments):
    asked = []
    monkeypatch.setattr(stack, "airflow", lambda _, given: asked.extend(given) or 3)

    assert run("airflow", *arguments).exit_code == 3
    assert asked == arguments


def test_the_verdict_of_a_check_is_the_exit_code(started, monkeypatch):
    monkeypatch.setattr(inspection, "check_state", lambda _, *, model: int(model != "m"))

    assert run("check-state", "--model", "m").exit_code == 0
    assert run("check-state").exit_code == 1
    assert len(started) == 2


def test_a_version_that_differs_ends_with_1(started, monkeypatch):
    def reproduce(settings, *, password, model, version, console):
        raise StackError(f"{model} {version} differs")

    monkeypatch.setattr(inspection, "reproduce", reproduce)

    done = run("reproduce", "--version", "4")

    assert done.exit_code == 1
    assert "flight_delay 4 differs" in done.stderr


def test_the_dashboard_opens_on_the_port_that_is_asked_for(monkeypatch):
    asked = {}
    monkeypatch.setattr(inspection, "open_evidently", lambda _, **given: asked.update(given) or 0)

    assert run("evidently", "--port", "9000").exit_code == 0
    assert asked == {"model": "flight_delay", "port": 9000}


def test_secrets_are_written_once_and_the_second_time_ends_with_1(tmp_path, monkeypatch):
    monkeypatch.setattr("evergreen_airflow.embedded.settings.PROJECT", tmp_path)

    first, again = run("secrets"), run("secrets")

    assert (first.exit_code, again.exit_code) == (0, 1)
    assert "Airflow: user admin, password " in first.stdout
    assert "was left as it is" in again.stderr


def test_a_setup_that_fails_ends_with_1(monkeypatch):
    def setup():
        raise StackError("airflow db migrate ended with 1.")

    monkeypatch.setattr(production, "setup", setup)

    done = run("setup")

    assert done.exit_code == 1
    assert "airflow db migrate ended with 1." in done.stderr


def test_what_it_is_not_asked_rightly_ends_with_2():
    assert run().exit_code == 2
    assert run("reproduce").exit_code == 2
    assert run("reproduce", "--version", "x").exit_code == 2
    assert run("nothing").exit_code == 2


def test_the_commands_without_airflow_are_there_too():
    assert run("schema").exit_code == 0


def test_the_generated_client_of_airflow_is_not_imported():
    """It would triple what a command costs before it does anything (ADR 16)."""
    program = (
        "import sys\n"
        "from evergreen_airflow import cli\n"
        "from evergreen_airflow.embedded import demo, inspection, stack\n"
        "print('airflow_client' in sys.modules)"
    )
    path = os.pathsep.join(str(ROOT / name) for name in ("include", "plugins"))

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "False\n"
