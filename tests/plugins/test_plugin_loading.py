"""Airflow imports plugin files under their bare names; keep it away from ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"

PROBE = """
import sys
from airflow.sdk.plugins_manager import _get_plugins
plugins, errors = _get_plugins()
assert errors == {}, errors
assert "evergreen" in {plugin.name for plugin in plugins}, plugins
ours = {stems}
sys.exit(", ".join(sorted(ours & set(sys.modules))) or 0)
"""


def test_only_the_plugin_module_is_imported_by_name():
    """Without plugins/.airflowignore, hooks/registry.py would become sys.modules["registry"]."""
    stems = {p.stem for p in PLUGINS.rglob("*.py")} - {"evergreen_plugin", "__init__", "__main__"}

    done = subprocess.run(
        [sys.executable, "-c", PROBE.replace("{stems}", repr(stems))],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_the_ignore_file_lets_one_file_through():
    lines = (PLUGINS / ".airflowignore").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == [
        "*",
        "!evergreen_plugin.py",
    ]


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda p: p.stem)
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
