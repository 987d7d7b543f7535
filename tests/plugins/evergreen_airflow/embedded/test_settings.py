from __future__ import annotations

import io
import json
import socket

import pytest
from rich.console import Console

from evergreen.errors import StackError
from evergreen_airflow.embedded import database, processes, stack
from evergreen_airflow.embedded.settings import (
    ensure_secrets,
    read_stack_settings,
    stack_environment,
)

SQLITE = database.Database(programs=None, reason="a test")


@pytest.fixture
def settings(tmp_path):
    return read_stack_settings({"EVERGREEN_HOME": str(tmp_path)})


def test_ports_come_from_the_environment_with_defaults(tmp_path):
    found = read_stack_settings({"EVERGREEN_HOME": str(tmp_path), "EVERGREEN_MLFLOW_PORT": "5001"})

    assert (found.airflow_port, found.mlflow_port) == (8080, 5001)


@pytest.mark.parametrize("value", ["", "x", "80", "70000", "-1"])
def test_a_port_that_is_none_is_explained(value):
    with pytest.raises(StackError, match=r"EVERGREEN_MLFLOW_PORT is .* expected a port"):
        read_stack_settings({"EVERGREEN_MLFLOW_PORT": value})


@pytest.mark.parametrize("name", ["SERVING", "SCHEDULES", "WARM_WORKERS"])
def test_a_switch_is_on_or_off_and_nothing_else(name):
    field, variable = name.lower(), f"EVERGREEN_{name}"

    assert getattr(read_stack_settings({}), field) is True
    assert getattr(read_stack_settings({variable: "on"}), field) is True
    assert getattr(read_stack_settings({variable: "off"}), field) is False
    for wrong in ("", "yes", "1", "true", "OFF"):
        with pytest.raises(StackError) as error:
            read_stack_settings({variable: wrong})
        assert str(error.value) == f"{variable} is {wrong!r}, expected one of on, off."


def test_every_wrong_setting_is_named_at_once():
    wrong = {
        "EVERGREEN_AIRFLOW_PORT": "80",
        "EVERGREEN_DATABASE": "mysql",
        "EVERGREEN_SERVING": "no",
    }

    with pytest.raises(StackError) as error:
        read_stack_settings(wrong)

    assert str(error.value).splitlines() == [
        "EVERGREEN_AIRFLOW_PORT is '80', expected a port from 1024 to 65535.",
        "EVERGREEN_SERVING is 'no', expected one of on, off.",
        "EVERGREEN_DATABASE is 'mysql', expected one of auto, postgres, sqlite.",
    ]


def test_a_folder_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert read_stack_settings({"EVERGREEN_HOME": "here"}).home == tmp_path / "here"
    assert read_stack_settings({}).home.is_absolute()


def test_a_taken_port_is_named_with_the_variable_that_moves_it(network, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = read_stack_settings(
            {"EVERGREEN_HOME": str(tmp_path), "EVERGREEN_AIRFLOW_PORT": str(port)}
        )

        with pytest.raises(StackError) as error:
            stack.up(settings, Console(file=io.StringIO()))

    assert f"Port {port} for Airflow is taken" in str(error.value)
    assert "EVERGREEN_AIRFLOW_PORT=<port>" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_random_private_and_stay(settings, tmp_path):
    first, is_first = ensure_secrets(settings)
    again, is_first_again = ensure_secrets(settings)
    other, _ = ensure_secrets(read_stack_settings({"EVERGREEN_HOME": str(tmp_path / "other")}))

    assert (is_first, is_first_again) == (True, False)
    assert again == first
    assert set(first.values()).isdisjoint(other.values())
    assert settings.secrets_file.stat().st_mode & 0o077 == 0


def test_everything_listens_on_loopback(settings):
    env = stack_environment(settings, ensure_secrets(settings)[0], database_url="sqlite:///x")

    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert json.loads(env["AIRFLOW_CONN_MLFLOW_DEFAULT"])["host"] == "http://127.0.0.1:5000"
    assert "--host 127.0.0.1" in processes._config(settings, SQLITE)


def test_no_secret_reaches_a_file_others_can_read(settings):
    known, _ = ensure_secrets(settings)

    config = processes._config(settings, SQLITE)

    assert [name for name, value in known.items() if value in config] == []


def test_a_folder_too_deep_for_a_socket_is_explained(tmp_path):
    settings = read_stack_settings({"EVERGREEN_HOME": str(tmp_path / ("deep" * 40))})

    with pytest.raises(StackError, match="Set EVERGREEN_HOME to a shorter folder"):
        processes.start(settings, {}, SQLITE)


def test_down_without_up_is_harmless(settings):
    page = io.StringIO()

    stack.down(settings, Console(file=page))

    assert "Nothing was running" in page.getvalue()


def test_a_folder_that_began_with_sqlite_keeps_it(settings):
    (settings.home / "airflow").mkdir(parents=True)
    (settings.home / "airflow" / "airflow.db").touch()

    assert database.choose(settings).is_postgres is False


def test_postgres_that_is_asked_for_and_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_find_programs", lambda: None)
    monkeypatch.setattr(database, "system_user", lambda: None)  # as if we were not root
    asked = read_stack_settings({"EVERGREEN_HOME": str(tmp_path), "EVERGREEN_DATABASE": "postgres"})

    with pytest.raises(StackError, match=r"must be PostgreSQL here, but .* were not found"):
        database.choose(asked)


def test_a_later_version_adds_the_secret_it_needs(settings):
    known, _ = ensure_secrets(settings)
    older = {name: value for name, value in known.items() if name != "database_password"}
    settings.secrets_file.write_text(json.dumps(older))

    found, is_first = ensure_secrets(settings)

    assert is_first is False
    assert found | older == found
    assert len(found["database_password"]) > 20
