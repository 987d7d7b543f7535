"""A copy of what Airflow reads of the project, for a test or a bench to change."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copy_code(root: Path) -> None:
    """Copy dags, plugins and include into the folder *root*."""
    for name in ("dags", "plugins", "include"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
