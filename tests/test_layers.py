"""Imports go down only: dags -> evergreen_airflow -> evergreen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "include": {"airflow", "evergreen_airflow"},
    "plugins": {"dags"},
}
FILES = [(layer, path) for layer in FORBIDDEN for path in sorted((ROOT / layer).rglob("*.py"))]


def test_there_are_files_to_look_at():
    """A wrong path gives an empty list, and an empty list passes every other test."""
    assert {layer for layer, _ in FILES} == set(FORBIDDEN)


@pytest.mark.parametrize(("layer", "path"), FILES, ids=lambda v: getattr(v, "stem", v))
def test_imports_go_down_only(layer, path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])

    assert imported & FORBIDDEN[layer] == set()


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda p: p.stem)
def test_no_module_is_named_after_a_library(path):
    """Airflow imports plugin files by their bare names; a hooks/mlflow.py would replace MLflow."""
    assert path.stem not in {
        "airflow",
        "boto3",
        "evidently",
        "mlflow",
        "pandas",
        "sklearn",
        "skops",
    }
