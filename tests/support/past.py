"""
Make nights of the past without a scheduler, in a process that reads the stack's own project.

A test that needs a champion, and not the run that made it, saves Airflow's part of the time. The
code of the models decides the keys of their work, so the process must find the project first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def make_nights(
    project: Path,
    model: str,
    nights: Sequence[tuple[datetime, Sequence[str]]],
    *,
    store: str,
    mlflow: str,
) -> list[dict[str, Any]]:
    """
    Make *nights* in order; return the receipt of each deployment.

    :param nights: Each one's ``as_of`` and candidates; without candidates it has all.
    :param store: URI of the object store, and *mlflow* the address of MLflow.
    """
    asked = {
        "model": model,
        "store": store,
        "mlflow": mlflow,
        "nights": [(as_of.isoformat(), list(only)) for as_of, only in nights],
    }
    folders = (project / "include", project / "plugins", ROOT)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.past", json.dumps(asked)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def main(asked: dict[str, Any]) -> list[dict[str, Any]]:
    from mlflow import MlflowClient

    from evergreen.spec import load_spec
    from evergreen.storage.opening import open_store
    from tests.support.night import Night

    store, client = open_store(asked["store"]), MlflowClient(asked["mlflow"], asked["mlflow"])
    found = []
    for as_of, only in asked["nights"]:
        night = Night(
            store, client, load_spec(asked["model"]), datetime.fromisoformat(as_of), only=only
        )
        receipt = night.roll_out(night.registration(), within_s=120)
        found.append(receipt.model_dump(mode="json"))
    return found


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
