"""A run that is held with its servers up, for tests/test_run.py to kill."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.support.postgres import running_postgres
from tests.support.run import MARK


def test_it_is_held(mlflow_uri):
    with running_postgres():
        Path(os.environ["EVERGREEN_HELD"]).write_text(os.environ[MARK])
        threading.Event().wait()
