"""A receipt belongs to one commit: which tests passed on it, and who reviewed it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from tests.support.ci_runs import PASSES, Checkout, junit_of, use
from typer.testing import CliRunner

from evergreen.cli import app
from evergreen.errors import CiReceiptError
from evergreen.registry import ci_receipts
from evergreen.registry.ci_receipts import ci_receipts_of, present_commit, record_ci_run
from evergreen.storage.folder import FolderStore

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CASES = """
import pytest

def test_passes(): pass

@pytest.mark.skip
def test_skipped(): pass

def test_fails(): assert {result}
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Checkout:
    return use(Checkout(tmp_path / "checkout"), monkeypatch)


@pytest.fixture
def junit(tmp_path):
    """What pytest itself writes of two modules, one test of which fails if asked to."""

    def run(*, fails: bool = False) -> bytes:
        cases = {
            "tests/test_one.py": CASES.format(result=not fails),
            "tests/models/test_two.py": PASSES,
        }
        return junit_of(tmp_path / "junit", cases)

    return run


@pytest.fixture
def empty(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "empty")


def version(sha: str, *, is_dirty: bool | None = False) -> SimpleNamespace:
    return SimpleNamespace(git_sha=sha, git_dirty=is_dirty)


def test_a_run_of_pytest_is_kept_for_the_commit_with_author_and_reviewers(checkout, junit, empty):
    record_ci_run(empty, junit(), reviewed_by=["Cleo", "Anna"], now=NOW)

    (found,) = ci_receipts_of(empty, version(checkout.sha))
    # The author is no reviewer.
    assert (found.author, found.reviewers) == ("Anna", ("Ben", "Cleo"))
    assert {m.name: (m.passed, m.failed, m.skipped) for m in found.modules} == {
        "tests.models.test_two": (1, 0, 0),
        "tests.test_one": (2, 0, 1),
    }
    assert found.is_green
    assert [m.name for m in found.of(("tests.models",))] == ["tests.models.test_two"]
    assert found.of(("tests.mod", "tests.test_on")) == ()


def test_a_run_with_a_failure_is_kept_and_is_not_green(checkout, junit, empty):
    record_ci_run(empty, junit(fails=True), now=NOW)

    (found,) = ci_receipts_of(empty, version(checkout.sha))
    assert not found.is_green
    assert sum(m.failed for m in found.modules) == 1


def test_the_newest_of_several_runs_is_first(checkout, junit, empty):
    record_ci_run(empty, junit(), now=NOW)
    record_ci_run(empty, junit(fails=True), now=NOW + timedelta(hours=1))

    found = ci_receipts_of(empty, version(checkout.sha))

    assert [one.is_green for one in found] == [False, True]


def test_another_commit_and_a_changed_one_have_no_receipt(checkout, junit, empty):
    record_ci_run(empty, junit(), now=NOW)
    sha = checkout.sha

    assert ci_receipts_of(empty, version("0" * 40)) == ()
    assert ci_receipts_of(empty, version(sha, is_dirty=True)) == ()
    assert ci_receipts_of(empty, version(sha, is_dirty=None)) == ()
    assert ci_receipts_of(empty, version("unknown: no git")) == ()


def test_a_checkout_with_changes_gets_none(checkout, junit, empty):
    found = junit()
    (checkout.root / "tests" / "test_one.py").write_text("changed = True\n")

    with pytest.raises(CiReceiptError, match="Files differ from commit"):
        record_ci_run(empty, found, now=NOW)

    assert list(empty.list("")) == []


def test_an_unknown_commit_gets_none(monkeypatch):
    monkeypatch.setattr(ci_receipts, "git_state", lambda: ("unknown: no git", None))

    with pytest.raises(CiReceiptError, match=r"not known \(unknown: no git\)"):
        present_commit()


def test_results_older_than_the_commit_are_refused(checkout, junit, empty):
    found = junit()
    late = {"GIT_COMMITTER_DATE": "2035-01-01T00:00:00Z"}
    command = ["git", "-C", str(checkout.root), "-c", "user.name=A", "-c", "user.email=a@b.c"]
    amend = [*command, "commit", "-q", "--amend", "--no-edit"]
    subprocess.run(amend, check=True, env=late | {"PATH": "/usr/bin:/bin"})

    with pytest.raises(CiReceiptError, match="ran on other code"):
        record_ci_run(empty, found, now=NOW)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no xml", "is no XML"),
        (b"<html/>", "begins with <html>"),
        (b"<testsuites><testsuite/></testsuites>", "holds no test case"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><testsuites/>', "declares entities"),
    ],
)
def test_a_file_that_is_no_junit_file_is_refused(checkout, empty, data, says):
    with pytest.raises(CiReceiptError, match=says):
        record_ci_run(empty, data, now=NOW)

    assert list(empty.list("")) == []


def test_the_command_keeps_it_and_a_missing_file_ends_with_1(checkout, junit, empty, tmp_path):
    path = tmp_path / "out.xml"
    path.write_bytes(junit())
    options = ["--store", empty.uri, "--reviewed-by", "Cleo"]

    done = CliRunner().invoke(app, ["ci-receipt", str(path), *options])
    gone = CliRunner().invoke(app, ["ci-receipt", str(tmp_path / "none.xml"), *options])

    assert done.exit_code == 0, done.output
    assert "3 tests passed, 0 failed, 1 were skipped; reviewed by Ben, Cleo" in done.stdout
    assert len(list(empty.list("ci/"))) == 1
    assert gone.exit_code == 1
    assert "cannot be read" in gone.stderr
