"""The steps of docs/extending.md work as they are written, and touch no more files than it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.project import copy_code

PAGE = (ROOT / "docs" / "extending.md").read_text()
STEP = re.compile(
    r"(?:In `(?P<path>[^`]+)`, (?P<how>after|before|replace) `(?P<anchor>[^\n]+)`:"
    r"|In `(?P<end>[^`]+)`, at the end:"
    r"|New file `(?P<new>[^`]+)`:)\n\n```\w+\n(?P<code>.*?)```\n",
    re.DOTALL,
)
WALKS = {
    title: (int(most), body)
    for title, most, body in re.findall(
        r"^## ([^\n]+): (\d) files?\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
}
#: What is run after a walk, in the changed copy of the project.
CHECKS = {
    "A metric": """
import numpy as np
from evergreen.modeling import metrics
from evergreen.spec.metrics import metrics_of

assert "explained_variance" in metrics_of("regression")
labels = metrics.Labels(problem="regression", values=np.array([1.0, 2.0, 4.0]), classes=())
assert metrics.measure(labels, np.array([1.5, 2.5, 4.5]))["explained_variance"] == 1
""",
    "A monitor": """
from datetime import UTC, datetime
from pathlib import Path
from evergreen.monitoring.health import HealthPage, Report, render_health
from evergreen.monitoring.monitors import MONITORS, monitors_of
from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace

spec, as_of = load_spec("flight_delay"), datetime(2013, 3, 2, tzinfo=UTC)
assert "measure_volume" in [monitor.task_id for monitor in monitors_of(spec)]
found = MONITORS["volume"].measure(Workspace(FolderStore(Path("store")), None, spec), as_of)
assert (found.colour, found.rows) == ("red", 0)
assert list(MONITORS["volume"].gauges(found)) == [("scored_rows", 0.0)]
report = Report(results={"volume": found.model_dump(mode="json")})
page = HealthPage(model="m", owner="o", as_of=as_of, day=found.day, colour="red", reasons=(),
                  missing=(), retrain="not needed", is_replay=False, is_served_online=False,
                  report=report, past=({"day": found.day, "colour": "red", "reasons": ()},))
assert "0 rows were scored." in render_health(page)
""",
    "A kind of source": """
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from evergreen.data.partitions import partition
from evergreen.data.sources import open_source
from evergreen.spec import ModelSpec, load_spec

spec = load_spec("flight_delay").model_dump(mode="json", exclude={"source", "contract"})
spec = ModelSpec.model_validate(
    spec | {"source": {"connection": "exports", "csv": {"orders": {"file": "orders-{day}.csv"}}}}
)
Path("orders-2013-03-01.csv").write_text("id,price\\n1,2.5\\n")
source = open_source(spec, SimpleNamespace(get_path=Path.cwd))
days = [partition(spec, table="orders", day=date(2013, 3, n)) for n in (1, 2)]
assert [len(source.read_day(day)) for day in days] == [1, 0]
assert days[0].key == "raw/flight_delay/orders/2013-03-01.parquet"
""",
    "A deployment target": """
from pathlib import Path
from types import SimpleNamespace
from evergreen.release.target_registry import target_of
from evergreen.spec import ModelSpec, load_spec
from evergreen.workspace import Workspace

spec = load_spec("flight_delay").model_dump(mode="json")
spec["deployment"] |= {"target": "folder", "mode": "direct", "folder": {"path": "."}}
target = target_of(Workspace(None, None, ModelSpec.model_validate(spec)))
found = target.prove(None, SimpleNamespace(model="m", version="7"), now=None)
assert (found.message, Path("m.version").read_text()) == ("devices fetch version 7", "7")
""",
    "A stage with evidence": """
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
from evergreen.modeling.size import MAX_BYTES, check_size

def evaluation(size):
    challenger = SimpleNamespace(artifact_bytes=size)
    return SimpleNamespace(challenger=challenger, model="m", as_of="2013-03-01T00:00:00Z")

found = {size: check_size(evaluation(size)).checks[0].status for size in (MAX_BYTES, MAX_BYTES + 1)}
assert found == {MAX_BYTES: "passed", MAX_BYTES + 1: "failed"}

register = DagBag("dags/retrain.py").dags["flight_delay__retrain"].get_task("register_model")
assert "check_size" in register.upstream_task_ids
assert register.stages["size"].operator.task_id == "check_size"
""",
}


@pytest.fixture
def project(tmp_path) -> Path:
    copy_code(tmp_path)
    return tmp_path


def apply(project: Path, body: str) -> set[str]:
    """Do the steps of a walk, and return the files that they touch."""
    touched = set()
    for step in STEP.finditer(body):
        name = step["path"] or step["end"] or step["new"]
        path, code = project / name, step["code"]
        touched.add(name)
        if step["new"]:
            assert not path.exists(), name
            path.write_text(code)
            continue
        text = path.read_text()
        if step["end"]:
            path.write_text(text + code)
            continue
        (at,) = [match.start() for match in re.finditer(re.escape(step["anchor"]), text)][:1]
        line_start, line_end = text.rfind("\n", 0, at) + 1, text.index("\n", at) + 1
        if step["how"] == "before":
            path.write_text(text[:line_start] + code + text[line_start:])
        elif step["how"] == "after":
            path.write_text(text[:line_end] + code + text[line_end:])
        else:
            path.write_text(text[:line_start] + code + text[line_end:])
    return touched


def test_every_walk_is_checked():
    assert WALKS.keys() == CHECKS.keys()


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_works_as_written_and_touches_as_few_files_as_it_says(title, project):
    most, body = WALKS[title]

    assert len(apply(project, body)) == most
    done = subprocess.run(
        [sys.executable, "-c", CHECKS[title]],
        cwd=project,
        env=os.environ | {"PYTHONPATH": f"{project}/include:{project}/plugins"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
