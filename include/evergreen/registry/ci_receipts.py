"""
Keep what the tests of a commit gave, so that a version made from it can point to them.

A receipt says what a JUnit file says. It is as true as the CI that writes it: give only CI the
right to write below ``ci/`` in the store.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from evergreen.digests import PACKAGE_DIR, UNKNOWN, git_state, is_commit_known
from evergreen.errors import CiReceiptError
from evergreen.receipts.ci import CiModule, CiReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import document_bytes, load_document, put_once

#: Bytes of a JUnit file; one of 100,000 tests has fewer.
MAX_BYTES = 100_000_000
#: What git prints of a commit: instant, author, and the reviewers in its trailers.
_FORMAT = "%cI%n%an%n%(trailers:key=Reviewed-by,valueonly)"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The commit that the tests ran on."""

    sha: str
    author: str
    reviewers: tuple[str, ...]
    committed_at: datetime


def record_ci_run(
    store: ObjectStore, junit: bytes, *, reviewed_by: Sequence[str] = (), now: datetime
) -> CiReceipt:
    """
    Keep a receipt for the present commit of the working tree, by the JUnit file *junit*.

    Safe to repeat. A run with failures is kept too: it is the newest, and takes points back.

    :param reviewed_by: Who reviewed the commit, beside the ``Reviewed-by`` trailers of its message.
    :raises CiReceiptError: If the tree is not exactly that commit, or the file is no JUnit file,
        has no test, or is older than the commit.
    """
    commit = present_commit()
    suites = _suites(junit)
    began = [instant for instant in map(_began, suites) if instant is not None]
    if began and min(began) < commit.committed_at:
        raise CiReceiptError(
            f"The tests began at {min(began):%Y-%m-%d %H:%M:%S} UTC, before commit "
            f"{commit.sha[:12]} was made ({commit.committed_at:%Y-%m-%d %H:%M:%S} UTC), so they "
            "ran on other code. Nothing was kept. Run the tests on this commit."
        )
    modules = tuple(_modules(suites))
    if not modules:
        raise CiReceiptError("The JUnit file holds no test case. Nothing was kept.")
    reviewers = {*commit.reviewers, *reviewed_by} - {commit.author}
    receipt = CiReceipt(
        commit=commit.sha,
        author=commit.author,
        reviewers=tuple(sorted(reviewers)),
        recorded_at=now,
        modules=modules,
    )
    put_once(store, layout.ci_folder(commit.sha), document_bytes(receipt), suffix=".json")
    return receipt


def ci_receipts_of(store: ObjectStore, identity: VersionIdentity) -> tuple[CiReceipt, ...]:
    """
    Return the receipts of the commit that made a version, newest first.

    Empty if the commit is not known, or if the code differed from it.
    """
    if not is_commit_known(identity) or identity.git_dirty is not False:
        return ()
    keys = store.list(f"{layout.ci_folder(identity.git_sha)}/")
    found = [load_document(store, key, CiReceipt) for key in keys]
    return tuple(sorted(found, key=lambda receipt: receipt.recorded_at, reverse=True))


def present_commit() -> Commit:
    """
    Return the commit of the working tree.

    :raises CiReceiptError: If it is not known, or if files differ from it.
    """
    sha, is_dirty = git_state()
    if sha.startswith(UNKNOWN) or is_dirty is None:
        raise CiReceiptError(
            f"The commit of the code is not known ({sha}), so no receipt was kept. Run this in the "
            "checkout that the tests ran in."
        )
    if is_dirty:
        raise CiReceiptError(
            f"Files differ from commit {sha[:12]}, so its tests are not known, and no receipt was "
            "kept. Commit the changes, or write the JUnit file outside of the checkout."
        )
    git = ["git", "-C", str(PACKAGE_DIR), "log", "-1", f"--format={_FORMAT}", sha]
    try:
        found = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CiReceiptError(
            f"git cannot show commit {sha[:12]}: {error}. No receipt was kept. Run this in the "
            "checkout that the tests ran in."
        ) from error
    instant, author, *trailers = found.splitlines()
    reviewers = (line.partition("<")[0].strip() for line in trailers)
    return Commit(
        sha=sha,
        author=author,
        reviewers=tuple(name for name in reviewers if name),
        committed_at=datetime.fromisoformat(instant).astimezone(UTC),
    )


def _suites(junit: bytes) -> list[ET.Element]:
    if len(junit) > MAX_BYTES:
        raise CiReceiptError(
            f"The JUnit file has {len(junit)} bytes, expected at most {MAX_BYTES}."
        )
    if b"<!DOCTYPE" in junit or b"<!ENTITY" in junit:
        raise CiReceiptError("The JUnit file declares entities, which no test runner writes.")
    try:
        root = ET.fromstring(junit)  # noqa: S314 - without declarations nothing can expand
    except ET.ParseError as error:
        raise CiReceiptError(
            f"The file is no XML: {error}. Expected a JUnit file, such as pytest --junitxml writes."
        ) from error
    if root.tag not in ("testsuites", "testsuite"):
        raise CiReceiptError(
            f"The file begins with <{root.tag}>, expected <testsuites> or <testsuite> of JUnit, "
            "such as pytest --junitxml writes."
        )
    return list(root.iter("testsuite"))


def _began(suite: ET.Element) -> datetime | None:
    """Return when *suite* began; None if it does not say so with a time zone."""
    try:
        found = datetime.fromisoformat(suite.get("timestamp", ""))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _modules(suites: Iterable[ET.Element]) -> Iterator[CiModule]:
    cases: dict[str, list[ET.Element]] = defaultdict(list)
    for suite in suites:
        for case in suite.findall("testcase"):
            cases[case.get("classname", "")].append(case)
    for name, found in sorted(cases.items()):
        outcomes = [_outcome(case) for case in found]
        yield CiModule(
            name=name,
            passed=outcomes.count("passed"),
            failed=outcomes.count("failed"),
            skipped=outcomes.count("skipped"),
            seconds=sum(_seconds(case) for case in found),
        )


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


def _seconds(case: ET.Element) -> float:
    try:
        found = float(case.get("time", "0"))
    except ValueError:
        return 0.0
    return found if 0 <= found < float("inf") else 0.0
