"""``python -m evergreen <command>``: what needs no Airflow, such as the model server."""

from __future__ import annotations

from evergreen.cli import app

if __name__ == "__main__":
    app()
