"""What the parent of all tasks imports must be safe to fork, and must be there at all."""

from __future__ import annotations

import ast

import pytest
import yaml
from tests.conftest import ROOT, embedded_environment, said_by_python

from evergreen_airflow.embedded.settings import read_stack_settings
from evergreen_airflow.warm_workers import MODULES, OFF, VARIABLE

#: What keeps libraries from starting threads.
THREADS = ("OMP_NUM_THREADS", "JE_ARROW_MALLOC_CONF")
#: Imports as the parent does, looks at itself, and lets a child fit.
PARENT = f"""
import importlib, os, sys, threading
import psutil
for name in {MODULES!r}:
    importlib.import_module(name)
before = set(sys.modules)
me = psutil.Process()
print("threads", me.num_threads(), [t.name for t in threading.enumerate()])
print("connections", me.net_connections())
child = os.fork()
if not child:
    from sklearn.ensemble import HistGradientBoostingClassifier
    HistGradientBoostingClassifier(max_iter=3).fit([[n] for n in range(200)], [n % 2 for n in range(200)])
    os._exit(0)
print("child", os.waitpid(child, 0)[1])
"""  # noqa: E501


def asked(code: str, **environ: str) -> str:
    given = embedded_environment()
    return said_by_python(code, **{name: given[name] for name in THREADS}, **environ)


#: Does for the first time what stages do, and says what had to be imported for it.
FIRST_TASK = """
import tempfile
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
import mlflow.sklearn
import pandas as pd
import pandera.pandas as pa
from datetime import datetime, UTC
from pathlib import Path
from sklearn.linear_model import Ridge
from evergreen.reporting.evidently_report import keep_report
from evergreen.storage.folder import FolderStore
rows = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": ["x", "y", "y"]})
pa.DataFrameSchema({"a": pa.Column(None, checks=[pa.Check.ge(0)])}).validate(rows, lazy=True)
with tempfile.TemporaryDirectory() as home:
    model = Ridge().fit(rows[["a"]], rows["a"])
    mlflow.sklearn.save_model(
        model, home + "/model", serialization_format="skops", input_example=rows[["a"]],
        signature=mlflow.models.infer_signature(rows[["a"]], rows["a"]),
        pip_requirements=["skops"],
    )
    keep_report(
        FolderStore(Path(home)), folder="reports/m", reference=rows, current=rows, note="",
        name="n", at=datetime.now(UTC),
    )
print(sum(path.endswith(("/top_level.txt", "/RECORD")) for path in opened))
print(sorted(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def parent() -> str:
    """What the parent of all tasks says of itself, and then of its first work."""
    return asked(PARENT + FIRST_TASK)


def test_the_parent_has_no_thread_and_no_connection_and_its_child_can_fit(parent):
    assert "threads 1 ['MainThread']" in parent
    assert "connections []" in parent
    assert "child 0" in parent


def test_what_libraries_put_off_until_they_are_used_is_there_as_well(parent):
    packages, modules = parent.splitlines()[-2:]
    late = ast.literal_eval(modules)

    assert len(late) < 20, late
    assert int(packages) < 20  # of all that is installed MLflow asks once


CELERY = """
import sys
from airflow.providers.celery.executors import celery_executor_utils as utils
app = utils.app
print("sends", "pandas" in sys.modules)
app.loader.import_default_modules()
print("works", "pandas" in sys.modules, "evidently.presets" in sys.modules)
"""


@pytest.mark.parametrize(("switch", "warm"), [("on", True), ("off", False)])
def test_a_celery_worker_imports_them_and_who_only_sends_tasks_does_not(switch, warm):
    found = asked(
        CELERY,
        AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS="evergreen_airflow.celery_config.CELERY_CONFIG",
        AIRFLOW__CELERY__BROKER_URL="memory://",
        EVERGREEN_WARM_WORKERS=switch,
    )

    assert "sends False" in found
    assert f"works {warm} {warm}" in found


def test_the_embedded_stack_is_switched_by_the_same_variable():
    assert read_stack_settings({}).warm_workers is True
    assert read_stack_settings({VARIABLE: OFF}).warm_workers is False


def test_the_command_line_is_left_out():
    assert not [name for name in MODULES if name.startswith("evergreen.") and ".cli" in name]
    assert "evergreen.__main__" not in MODULES
    assert "evergreen.errors" in MODULES


def test_no_other_process_of_the_stack_is_told_of_them():
    shared = embedded_environment()

    assert not [name for name in shared if "PRELOAD" in name or "START_METHOD" in name]


def test_production_allows_no_other_threads_than_the_embedded_stack():
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    given = embedded_environment()

    assert {n: services["worker"]["environment"][n] for n in THREADS} == {
        n: given[n] for n in THREADS
    }
