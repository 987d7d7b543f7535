"""``python -m evergreen_airflow <command>``: every command of Evergreen."""

from __future__ import annotations

from evergreen_airflow.cli import app

if __name__ == "__main__":
    app()
