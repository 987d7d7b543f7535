"""The DAG processor imports once what its forks would each import again, and nothing heavy."""

from __future__ import annotations

import ast

from tests.conftest import ROOT, said_by_python

#: Starts as a component of Airflow does, then parses every DAG file and says what that imported.
COMPONENT = f"""
import sys
sys.argv = ["airflow", component]
from airflow.jobs.job import Job
Job()
before = set(sys.modules)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder={str(ROOT / "dags")!r})
assert bag.dags and not bag.import_errors, bag.import_errors
ours = ("evergreen.", "evergreen_airflow.")
print(sorted(name for name in set(sys.modules) - before if name.startswith(ours)))
print(sorted({{"pandas", "sklearn", "mlflow", "evidently"}} & set(sys.modules)))
"""


def found(component: str) -> list[list[str]]:
    """Return what parsing imports of ours in a component, and which heavy libraries it then has."""
    said = said_by_python(f"component = {component!r}\n{COMPONENT}")
    return [ast.literal_eval(line) for line in said.splitlines()[-2:]]


def test_a_fork_of_the_dag_processor_imports_nothing_of_ours_again():
    late, heavy = found("dag-processor")

    assert late == []
    assert heavy == []


def test_no_other_component_imports_them():
    late, heavy = found("scheduler")

    assert "evergreen_airflow.operators.training" in late
    assert heavy == []
