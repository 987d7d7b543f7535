"""The commands that need no Airflow: exit codes, what they print, and what they import."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from tests.conftest import ROOT
from tests.support.predictions import two_models
from typer.main import get_command
from typer.testing import CliRunner

from evergreen.cli import app
from evergreen.spec.modeling import ChampionGate


def run(*arguments: str, **environ: str):
    return CliRunner(env=environ).invoke(app, list(arguments))


def test_a_store_that_is_fit_ends_with_0_and_a_table(tmp_path):
    done = run("doctor", tmp_path.as_uri())

    assert done.exit_code == 0
    assert "keeps what Evergreen relies on" in done.stdout


def test_the_doctor_names_each_model_whose_alerts_go_to_no_one(tmp_path, monkeypatch, spec):
    pager = spec.alerts.model_copy(update={"connections": ("pager",)})
    specs = [spec, spec.model_copy(update={"model": "alerting", "alerts": pager})]
    monkeypatch.setattr("evergreen.spec.find_specs", lambda: (specs, []))

    done = run("doctor", tmp_path.as_uri())

    assert done.exit_code == 0
    assert f"{spec.model}: alerts.connections in model.yaml is empty" in done.stderr
    assert "alerting:" not in done.stderr


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


@pytest.fixture
def compare(tmp_path):
    """Return a function that writes two frames and compares the files."""

    def call(champion, challenger, *options: str, ending: str = "parquet"):
        paths = []
        for name, frame in (("champion", champion), ("challenger", challenger)):
            paths.append(tmp_path / f"{name}.{ending}")
            if ending == "csv":
                frame.to_csv(paths[-1], index=False)
            else:
                frame.to_parquet(paths[-1])
        named = ("--label", "label", "--day", "day")
        return run("compare", *map(str, paths), *named, *options)

    return call


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_two_files_of_predictions_are_compared(compare, problem, ending):
    champion, challenger = two_models(problem)
    mixed = challenger.sample(frac=1, random_state=1).drop(columns="label")

    done = compare(champion, mixed, "--problem", problem, "--key", "id", ending=ending)

    assert done.exit_code == 0
    assert done.stdout.startswith("PROMOTE  600 rows, 10 days\n")
    assert "lower bound at 97.5% > 0\n" in done.stdout
    assert done.stderr == ""


def test_a_comparison_that_holds_ends_with_0_and_prints_one_object(compare):
    champion, challenger = two_models(noise=(1.0, 1.0))
    options = ("--metric", "log_loss", "--confidence", "0.9", "--margin", "0.01", "--json")

    done = compare(champion, challenger, "--problem", "binary", *options)

    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert list(found) == ["verdict", "metric", "gain", "lower_bound", "rows", "days", "reason"]
    assert (found["verdict"], found["metric"]) == ("hold", "log_loss")
    assert found["reason"].endswith("required: lower bound at 90.0% > 0.01")


def test_what_could_not_be_measured_is_null(compare):
    champion, challenger = two_models(days=1)

    done = compare(champion, challenger, "--problem", "binary", "--json")

    assert done.exit_code == 0
    assert '"lower_bound":null' in done.stdout


def test_labels_may_be_texts(compare):
    frames = (
        frame.assign(label=frame["label"].map({True: "y", False: "n"})) for frame in two_models()
    )

    assert compare(*frames, "--problem", "binary", "--positive", "y").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--problem", "binary", "--metric", "auc"], "The metric is auc; expected one of a binary"),
        (["--problem", "ranking"], "expected one of binary, multiclass, regression"),
        (["--problem", "binary", "--key", "x"], "Column x is missing in the champion, which has"),
        (["--problem", "binary", "--confidence", "2"], "confidence is 2.0: "),
        (["--problem", "multiclass"], "The champion has no column for the class False, True"),
    ],
)
def test_what_cannot_be_compared_ends_with_2_and_the_reason(compare, options, message):
    done = compare(*two_models(), *options, "--json")

    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_missing_ends_with_2(tmp_path):
    path = str(tmp_path / "none.parquet")

    done = run("compare", path, path, "--label", "y", "--day", "d", "--problem", "binary")

    assert done.exit_code == 2
    assert "none.parquet cannot be read: " in done.stderr


def test_the_default_rule_is_the_one_of_the_gate():
    defaults = {
        option.name: option.default for option in get_command(app).commands["compare"].params
    }

    assert defaults["confidence"] == ChampionGate().confidence
    assert defaults["margin"] == ChampionGate().margin


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["doctor"], ["check-invariants"], ["compare", "a", "b"]]
)
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
    for command in (
        "serve",
        "doctor",
        "check-invariants",
        "evidently-workspace",
        "schema",
        "compare",
    ):
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


def test_the_example_of_the_page_prints_what_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "compare.md").read_text()
    blocks = {
        kind: re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)[1]
        for kind in ("python", "sh", "text", "json")
    }
    _, _, command = blocks["sh"].partition("-m evergreen ")

    exec(blocks["python"], {})
    done = run(*shlex.split(command)), run(*shlex.split(command), "--json")

    assert [each.stdout for each in done] == [blocks["text"], blocks["json"]]
