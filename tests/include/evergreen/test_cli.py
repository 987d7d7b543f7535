"""The commands that need no Airflow: exit codes, what they print, and what they import."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.conftest import ROOT
from typer.testing import CliRunner

from evergreen.cli import app


def run(*arguments: str, **environ: str):
    return CliRunner(env=environ).invoke(app, list(arguments))


def test_a_store_that_is_fit_ends_with_0_and_a_table(tmp_path):
    done = run("doctor", tmp_path.as_uri())

    assert done.exit_code == 0
    assert "keeps what Evergreen relies on" in done.stdout


def test_a_store_without_a_guarantee_ends_with_1(tmp_path, monkeypatch):
    monkeypatch.setattr("evergreen.storage.conformance.is_fit", lambda found: False)

    assert run("doctor", tmp_path.as_uri()).exit_code == 1


def test_a_store_that_cannot_be_opened_ends_with_2_and_the_reason():
    done = run("doctor", "ftp://x")

    assert done.exit_code == 2
    assert "Expected file:///" in done.stderr


def test_a_server_without_settings_ends_with_1_and_names_them():
    done = run("serve")

    assert done.exit_code == 1
    assert "EVERGREEN_SERVING_STORE: missing; set it." in done.stderr
    assert "EVERGREEN_SERVING_MLFLOW: missing; set it." in done.stderr


def test_the_stored_schema_is_what_the_command_prints():
    done = run("schema")

    assert done.exit_code == 0
    assert done.stdout == (ROOT / "docs" / "model.schema.json").read_text()
    assert json.loads(done.stdout)["title"] == "ModelSpec"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["doctor"], ["check-invariants"]])
def test_a_command_line_that_is_incomplete_ends_with_2(arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("package", ["evergreen", "evergreen_airflow"])
def test_help_lists_the_commands_without_heavy_imports(package):
    heavy = [
        "airflow",
        "mlflow",
        "pandas",
        "sklearn",
        "scipy",
        "evidently",
        "pydantic",
        "uvicorn",
        "boto3",
    ]
    program = (
        f"import runpy, sys\nsys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({package!r}, run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as end: sys.stderr.write(str(end.code))\n"
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    path = os.pathsep.join(str(ROOT / name) for name in ("include", "plugins"))

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )

    assert done.stderr == "0"
    assert done.stdout.endswith("[]\n")
    for command in ("serve", "doctor", "check-invariants", "evidently-workspace", "schema"):
        assert command in done.stdout


def test_reading_specs_imports_no_command_line():
    """DAG files import ``evergreen.spec`` while they are parsed."""
    program = "import evergreen.spec, sys; print('typer' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "False\n"
