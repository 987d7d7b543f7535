"""A checkout of its own with one commit, and what pytest itself writes of tests in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from evergreen.registry import ci_receipts

PASSES = "def test_passes(): pass\n"


class Checkout:
    """A repository with one commit by Anna, reviewed by Ben."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "tests").mkdir(parents=True)
        (root / "tests" / "test_one.py").write_text("")
        self.git("init", "-q")
        self.git("add", ".")
        trailers = "Reviewed-by: Ben <ben@example.org>\nReviewed-by: Anna <anna@example.org>"
        self.git("commit", "-q", "-m", f"Add a test\n\n{trailers}\n")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org"]
        command = ["git", "-C", str(self.root), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    @property
    def sha(self) -> str:
        return self.git("rev-parse", "HEAD")

    def state(self) -> tuple[str, bool]:
        return self.sha, bool(self.git("status", "--porcelain"))


def use(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """Let receipts and versions take *checkout* for the one that Evergreen lies in."""
    monkeypatch.setattr(ci_receipts, "PACKAGE_DIR", checkout.root)
    monkeypatch.setattr(ci_receipts, "git_state", checkout.state)
    monkeypatch.setattr("evergreen.release.registration.git_state", checkout.state)
    return checkout


def junit_of(folder: Path, cases: Mapping[str, str]) -> bytes:
    """Run pytest on the test files *cases*, by their paths, and return its JUnit file."""
    for name, text in cases.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    quiet = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", "."]
    command = [sys.executable, "-m", "pytest", *quiet, "--junitxml=out.xml", "tests"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return (folder / "out.xml").read_bytes()
