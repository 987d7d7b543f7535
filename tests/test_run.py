"""A run of pytest leaves no process behind, even when it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, wait_until
from tests.support import run


@pytest.fixture
def held(network, tmp_path):
    """A run of its own, with a worker, in which MLflow and PostgreSQL are up; and its folder."""
    note = tmp_path / "folder"
    own = {
        name: value
        for name, value in os.environ.items()
        if name != run.MARK and not name.startswith("PYTEST_")
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "1",
        "-p",
        "no:cacheprovider",
        "tests/support/held_run.py",
    ]
    with (tmp_path / "log").open("w") as log:
        pytest_run = subprocess.Popen(
            command, cwd=ROOT, env=own | {"EVERGREEN_HELD": str(note)}, stdout=log, stderr=log
        )
    try:
        wait_until(
            lambda: (note.exists() and note.read_text() != "") or pytest_run.poll() is not None,
            within_s=180,
            what="the servers of the run",
        )
        assert pytest_run.poll() is None, (tmp_path / "log").read_text()
        yield pytest_run, Path(note.read_text())
    finally:
        pytest_run.kill()
        pytest_run.wait()


def commands(folder: Path) -> list[str]:
    return [" ".join(process.cmdline()) for process in run.processes_of(folder)]


def test_a_killed_run_leaves_no_server_behind(held):
    pytest_run, folder = held
    before = commands(folder)

    pytest_run.kill()

    assert any("pytest-xdist" in command for command in before)
    assert any("mlflow server" in command for command in before)
    assert any("postgres -D" in command for command in before)
    wait_until(lambda: run.processes_of(folder) == [], within_s=60, what="the end of the servers")
    wait_until(lambda: not folder.exists(), within_s=30, what="the end of the run's folder")


def test_what_the_run_shares_is_made_once():
    made: list[Path] = []

    def make(folder: Path) -> dict[str, int]:
        made.append(folder)
        return {"number": len(made)}

    name = f"once-{os.getpid()}"

    assert run.once(name, make) == run.once(name, make) == {"number": 1}
    assert made == [run.folder() / name]
