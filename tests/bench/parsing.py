"""How long the DAG files take to parse beside 1, 10 and 100 models, and one task's share of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.page import Page
from tests.bench.project import make_project

COUNTS = (1, 10, 100)

#: Imports first, as a running DAG processor and a warm worker have them; then the clock.
PROBE = """
import importlib, json, sys, time
import airflow.dag_processing.dagbag as bag
from evergreen_airflow import build_results
from evergreen_airflow.warm_workers import MODULES
build_results.share()
[importlib.import_module(name) for name in MODULES]
found = []
for _ in range(3):
    started = time.perf_counter()
    dags = bag.DagBag(sys.argv[1])
    found.append(time.perf_counter() - started)
    assert not dags.import_errors, dags.import_errors
sys.stdout.write(json.dumps([min(found), len(dags.dags)]))
"""


def parse(root: Path, path: Path, **environ: str) -> tuple[float, int]:
    """Return the seconds of the fastest of three parses of *path*, and how many DAGs came."""
    code = os.pathsep.join(str(root / name) for name in ("include", "plugins"))
    env = (
        os.environ
        | {
            "PYTHONPATH": code,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_HOME": str(root / "airflow"),
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        | environ
    )
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(path)], env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds, dags = json.loads(done.stdout.splitlines()[-1])
    return seconds, dags


def parsing(page: Page) -> None:
    shown = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory(prefix="eg-bench-") as folder:
            names = ["night", *(f"night_{n}" for n in range(1, count))]
            root = make_project(Path(folder), dict.fromkeys(names, 1))
            (root / "dags" / "plain_night.py").unlink()
            seconds, dags = parse(root, root / "dags")
            own, one = parse(
                root,
                root / "dags" / "retrain.py",
                _AIRFLOW_PARSING_CONTEXT_DAG_ID="night__retrain",
                _AIRFLOW_PARSING_CONTEXT_TASK_ID="train_candidate",
            )
            assert one == 1
            shown.append(
                (
                    str(count),
                    str(dags),
                    f"{seconds:.2f}",
                    f"{1000 * seconds / dags:.1f}",
                    f"{1000 * own:.0f}",
                )
            )
    columns = ("models", "DAGs", "s, all files", "ms a DAG", "ms, a task's own file and DAG")
    page.table("Parsing", columns, shown)


if __name__ == "__main__":
    parsing(Page())
