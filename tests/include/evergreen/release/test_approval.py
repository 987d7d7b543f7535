"""A person's word: only a yes to this very comparison moves the alias."""

from __future__ import annotations

import pytest
from tests.support.night import NOW

from evergreen.receipts.release import ApprovalReceipt
from evergreen.release.approval import question
from evergreen.release.deployment import reason_not_to_promote
from evergreen.reporting.evidence import EvidencePack
from evergreen.spec.release import Approval, Deployment
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import load_document
from evergreen.workspace import Workspace


@pytest.fixture
def history(new_history):
    history = new_history()
    requests_retrain = Deployment(approval=Approval(required=True))
    history.spec = history.spec.model_copy(update={"deployment": requests_retrain})
    return history


def answer(registration, *, approved: bool, message: str = "", **changes) -> ApprovalReceipt:
    said = ApprovalReceipt(
        model=registration.model,
        as_of=registration.as_of,
        version=registration.version,
        compared_with=registration.compared_with,
        asked=True,
        approved=approved,
        actor="anna",
        message=message,
    )
    return said.model_copy(update=changes)


def test_a_yes_promotes_and_the_ledger_has_who_and_why(history):
    version = history.version(1)

    receipt = history.deploy(version, approval=answer(version, approved=True, message="looks good"))

    assert receipt.moved is True
    entry = history.ledger().champion
    assert entry.actor == "anna, in test"
    assert entry.reason.endswith("approved by anna: looks good")


def test_a_no_leaves_the_champion_and_is_written_down(history):
    version = history.version(1)

    receipt = history.deploy(version, approval=answer(version, approved=False, message="too early"))

    assert (receipt.moved, receipt.reason) == (False, "rejected by anna: too early")
    assert history.champion() is None
    entries = history.ledger().entries
    assert [(e.step, e.version, e.actor) for e in entries] == [("refused", "1", "anna, in test")]
    assert entries[0].reason.endswith("rejected by anna: too early")


def test_a_no_is_written_down_once(history):
    version = history.version(1)
    no = answer(version, approved=False)

    for _ in range(2):
        history.deploy(version, approval=no)

    assert len(history.ledger().entries) == 1


def test_a_no_changes_nothing_about_who_served(history):
    first, second = history.version(1), None
    history.deploy(first, approval=answer(first, approved=True))
    second = history.version(2)

    history.deploy(second, approval=answer(second, approved=False))

    ledger = history.ledger()
    assert ledger.champion.version == first.version
    assert not ledger.has_served(second.version)
    assert ledger.pending is None


@pytest.mark.parametrize("changes", [{"asked": False}, {"version": "7"}, {"compared_with": "7"}])
def test_a_yes_to_something_else_is_no_yes(history, changes):
    version = history.version(1)

    receipt = history.deploy(version, approval=answer(version, approved=True, **changes))

    assert receipt.moved is False
    assert history.champion() is None


def test_without_a_word_nothing_is_promoted(history):
    receipt = history.deploy(history.version(1))

    assert "none was requested" in receipt.reason
    assert history.champion() is None


def test_a_yes_is_void_when_the_champion_changed_since(history):
    version = history.version(2)
    yes = answer(version, approved=True)
    other = history.version(1)
    history.deploy(other, approval=answer(other, approved=True))

    receipt = history.deploy(version, approval=yes)

    assert "the champion changed after the approval" in receipt.reason
    assert history.champion() == other.version


def test_a_yes_does_not_open_a_gate(history):
    version = history.version(1, passed=False)

    receipt = history.deploy(version, approval=answer(version, approved=True))

    assert receipt.reason == "it missed a gate, the champion stays"
    assert history.champion() is None


def why_not(history, registration, *, dry_run=False):
    return reason_not_to_promote(
        Workspace(history.store, history.client, history.spec),
        registration=registration,
        now=NOW,
        dry_run=dry_run,
    )


def test_nobody_is_asked_what_no_answer_could_change(history):
    good = history.version(5)
    assert why_not(history, good) is None
    assert why_not(history, good, dry_run=True) == "dry run, the alias was not touched"
    assert why_not(history, history.version(6, passed=False)) is not None

    history.deploy(good, approval=answer(good, approved=True))

    assert why_not(history, good) == "it serves already"
    assert "history" in why_not(history, history.version(4))


def test_the_question_holds_the_key_numbers_and_the_way_to_the_rest(history):
    receipt = history.version(1)
    place = receipt.evidence.removesuffix(EVIDENCE_PAGE) + EVIDENCE_DATA
    pack = load_document(history.store, place, EvidencePack)

    subject, body = question(pack, evidence_url="http://m/#/e")

    assert subject == f"Promote {history.spec.model} version 1?"
    auc = pack.metrics["challenger"]["roc_auc"]
    assert f"{auc:.4f}" in body
    assert "beside no champion" in body
    assert "[The whole evidence pack](http://m/#/e)" in body
