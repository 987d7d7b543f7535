"""What ``make`` gives to everything it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


def test_compiled_bytecode_is_kept_whatever_the_caller_says():
    said = ["make", "--silent", "--eval", 'ask:; @echo "[$$PYTHONDONTWRITEBYTECODE]"', "ask"]
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(said, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A repository with one commit and this Makefile, and a docker that says what it was given."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "$@ [$GIT_SHA] [$GIT_DIRTY]"\n')
    docker.chmod(0o755)
    return folder


def build(folder: Path) -> str:
    path = f"{folder.parent / 'bin'}:{os.environ['PATH']}"
    said = ["make", "--silent", "compose-build"]
    done = subprocess.run(
        said,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def commit(folder: Path) -> str:
    git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e"]
    for message in (["init", "-q"], ["add", "."], ["commit", "-qm", "One"]):
        subprocess.run([*git, *message], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_images_are_built_with_their_commit(folder):
    sha = commit(folder)

    assert build(folder) == f"compose build [{sha}] [no]\n"

    (folder / "new.py").touch()

    assert build(folder) == f"compose build [{sha}] [yes]\n"


def test_images_are_built_without_a_commit_where_there_is_none(folder):
    """The version then says why it has none (evergreen.digests)."""
    assert build(folder).startswith("compose build [] ")
