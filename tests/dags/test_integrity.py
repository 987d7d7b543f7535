"""
Rules every DAG file keeps.

They hold for files nobody has written yet: nothing here lists DAGs by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.definitions.timetables.simple import NullTimetable
from airflow.utils.types import DagRunType
from tests.support.project import copy_code

from evergreen.spec import find_specs

ROOT = Path(__file__).parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
SECTIONS = (
    "**Reads**",
    "**Writes**",
    "**Safe to re-run**",
    "**Safe to backfill**",
    "**When it fails**",
)

#: Slow to import and never needed to draw a graph.
HEAVY = {"evidently", "mlflow", "numpy", "pandas", "pandera", "scipy", "sklearn", "skops"}

#: Airflow once, then a child for each file: what it drags in is in no other's process.
PROBE = """
import json, os, runpy, sys
sys.path[:0] = {folders}
import airflow.sdk
already, found = set(sys.modules), {{}}
for path in {paths}:
    reader, writer = os.pipe()
    if not os.fork():
        runpy.run_path(path)
        os.write(writer, json.dumps(sorted({heavy} & (set(sys.modules) - already))).encode())
        os._exit(0)
    os.close(writer)
    found[path] = os.read(reader, 10_000).decode() or "failed"
    os.wait()
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def bag() -> DagBag:
    return DagBag(str(ROOT / "dags"))


@pytest.fixture(scope="session")
def dragged_in() -> dict[str, str]:
    """Return, by DAG file, the heavy modules that parsing it alone imports."""
    folders = [str(ROOT / name) for name in ("plugins", "include")]
    probe = PROBE.format(folders=folders, paths=[str(p) for p in DAG_FILES], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_every_file_imports(bag):
    assert bag.import_errors == {}


def test_every_model_has_its_dags(bag):
    """A wrong path gives an empty bag, and an empty bag passes every other test."""
    specs, _ = find_specs()
    workflows = {path.stem for path in DAG_FILES} - {"flights_feed", "spec_errors"}
    expected = {f"{s.model}__{w}" for s in specs for w in workflows}

    assert {"retrain", "score", "rollback", "backtest", "housekeeping"} <= workflows
    assert expected <= set(bag.dags)


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_parsing_stays_cheap(path, dragged_in):
    assert dragged_in[str(path)] == "[]"


def test_no_schedule_is_a_bare_cron_string(bag):
    """A bare cron string gives an interval of length zero, and a window built from it is empty."""
    loose = {
        dag_id: dag.timetable
        for dag_id, dag in bag.dags.items()
        if not isinstance(
            getattr(dag.timetable, "timetable", dag.timetable),
            CronDataIntervalTimetable | NullTimetable,
        )
    }

    assert loose == {}


def test_every_dag_tells_its_operator_what_to_do(bag):
    """On call at night, the DAG page is the only manual that is open."""
    silent = {
        dag_id: missing
        for dag_id, dag in bag.dags.items()
        if (missing := [s for s in SECTIONS if s not in (dag.doc_md or "")])
    }

    assert silent == {}


def test_every_task_has_an_owner_and_a_time_limit(bag):
    loose = [
        f"{dag_id}.{task.task_id}"
        for dag_id, dag in bag.dags.items()
        for task in dag.tasks
        if task.owner == "airflow" or task.execution_timeout is None
    ]

    assert loose == []


def test_no_dag_catches_up_by_itself(bag):
    assert [dag_id for dag_id, dag in bag.dags.items() if dag.catchup] == []


def test_every_param_says_what_it_is(bag):
    mute = [
        f"{dag_id}.{name}"
        for dag_id, dag in bag.dags.items()
        for name in dag.params
        if not dag.params.get_param(name).description
        or "type" not in dag.params.get_param(name).schema
    ]

    assert mute == []


def test_what_moves_or_destroys_starts_as_a_dry_run(bag):
    """Rollback moves the champion, housekeeping deletes: a click on Trigger must do neither."""
    assert bag.dags["flight_delay__rollback"].params["dry_run"] is True
    assert bag.dags["flight_delay__housekeeping"].params["dry_run"] is True


def test_tags_come_from_a_closed_vocabulary(bag):
    sample = {"sample"}
    strange = {
        dag_id: odd
        for dag_id, dag in bag.dags.items()
        if (odd := {t for t in dag.tags if not t.startswith(("model:", "workflow:"))} - sample)
    }

    assert strange == {}


def test_a_stack_on_sqlite_refuses_backfills_and_nothing_else(bag, monkeypatch):
    """On SQLite a backfill that fails half-way can delete the run it was to repeat."""
    monkeypatch.setenv("AIRFLOW__EVERGREEN__ALLOW_BACKFILLS", "False")
    all_but_one = {kind.value for kind in DagRunType} - {"backfill"}

    refusing = DagBag(str(ROOT / "dags"))

    def of_scheduled(found: DagBag) -> set:
        """A DAG without a schedule cannot be backfilled anyway."""
        return {
            d.allowed_run_types
            for d in found.dags.values()
            if not isinstance(d.timetable, NullTimetable)
        }

    assert of_scheduled(bag) == {None}
    assert of_scheduled(refusing) == {frozenset(all_but_one)}


@pytest.fixture
def broken_model(tmp_path) -> Path:
    """A copy of the tree with one more model, whose spec has a misspelt key."""
    copy_code(tmp_path)
    model = tmp_path / "include" / "models" / "broken"
    model.mkdir()
    good = (ROOT / "include" / "models" / "flight_delay" / "model.yaml").read_text()
    text = good.replace("model: flight_delay", "model: broken").replace("numeric:", "numerics:")
    (model / "model.yaml").write_text(text)
    return tmp_path


def test_one_broken_spec_hides_no_other_model(broken_model):
    """It becomes one import error that names file, key and remedy."""
    script = (
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag({str(broken_model / 'dags')!r})\n"
        "print(sorted(bag.dags)); print(*bag.import_errors.values())"
    )
    paths = os.pathsep.join(str(broken_model / name) for name in ("include", "plugins"))

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )

    assert "flight_delay__retrain" in done.stdout, done.stderr
    assert "broken__retrain" not in done.stdout
    assert "broken/model.yaml: examples.numerics: unknown key; did you mean 'numeric'?" in (
        done.stdout
    )


def test_a_task_builds_its_own_dag_only(bag, monkeypatch):
    """Starting a task must cost the same beside one model and beside a hundred."""
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "flight_delay__score")

    mine = DagBag(str(ROOT / "dags" / "score.py"))
    others = DagBag(str(ROOT / "dags" / "retrain.py"))

    assert list(mine.dags) == ["flight_delay__score"]
    assert list(others.dags) == []
