"""
What docker-compose.yaml needs done: its secrets before the first start, its stores at every start.

``python -m evergreen_airflow secrets`` and ``setup`` call this module.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

from cryptography.fernet import Fernet

from evergreen.errors import StackError
from evergreen.storage.s3 import BucketStore
from evergreen_airflow.embedded.settings import BACKFILL_POOL, write_private
from evergreen_airflow.hooks.storage import ObjectStoreHook

#: Tasks of backfills that may run at once; the nightly runs keep the rest of the workers.
BACKFILL_SLOTS = 3
PASSWORDS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "MLFLOW_DB_PASSWORD",
    "REDIS_PASSWORD",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
    "AIRFLOW_API_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
    "SERVING_TOKEN",
    "GRAFANA_PASSWORD",
)


def make_secrets(file: Path) -> dict[str, str]:
    """
    Write *file* with a random value for every secret of docker-compose.yaml, for its owner alone.

    :raises StackError: If it exists: new passwords would lock everybody out of what the old opened.
    """
    if file.exists():
        raise StackError(
            f"{file} exists and was left as it is. Its passwords open the databases that are "
            "there; move it away only if those may be lost too."
        )
    made = {name: secrets.token_hex(24) for name in PASSWORDS}
    made["AIRFLOW_FERNET_KEY"] = Fernet.generate_key().decode()
    made["AIRFLOW_PASSWORDS"] = json.dumps({"admin": secrets.token_urlsafe(18)})
    write_private(file, "".join(f"{name}='{value}'\n" for name, value in made.items()))
    return made


def setup() -> None:
    """
    Bring the schema of Airflow's database up to date, and make its pool and the bucket.

    Safe to repeat.

    :raises StackError: If Airflow's own command fails.
    """
    _airflow("db", "migrate")
    _airflow("pools", "set", BACKFILL_POOL, str(BACKFILL_SLOTS), "Backfills")
    store = ObjectStoreHook().store
    if isinstance(store, BucketStore):
        store.make_bucket()


def _airflow(*arguments: str) -> None:
    command = str(Path(sys.executable).with_name("airflow"))
    done = subprocess.run([command, *arguments])
    if done.returncode:
        raise StackError(f"airflow {' '.join(arguments)} ended with {done.returncode}.")
