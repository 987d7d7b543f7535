"""Ledgers of format 2 become ledgers of this release, or nothing of them is written."""

from __future__ import annotations

import pytest
from tests.include.evergreen.registry.test_ledger_entries import entry
from typer.testing import CliRunner

from evergreen.cli import app
from evergreen.errors import ArtifactError
from evergreen.operations.ledger_migration import migrate_ledgers
from evergreen.registry import ledger as ledger_store
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import document_bytes, put_document


@pytest.fixture
def old(tmp_path) -> FolderStore:
    """Three entries of one model and one of another, as the release before wrote them."""
    store = FolderStore(tmp_path)
    for number in (1, 2, 3):
        put_document(store, f"ledger/m/{number:08d}.json", entry(str(number)))
    put_document(store, "ledger/n/00000001.json", entry("1", model="n"))
    store.put("ledger_checkpoints/m/00000002.json", document_bytes(entry("1")))
    return store


def test_an_old_ledger_is_refused_with_the_command_that_migrates_it(old):
    with pytest.raises(ArtifactError, match=r"format 2 .* migrate-ledger file://"):
        ledger_store.read_ledger(old, "m")


def test_the_command_writes_every_entry_again(old):
    done = CliRunner().invoke(app, ["migrate-ledger", old.uri])

    assert (done.exit_code, done.output.split()[0]) == (0, "4")
    assert ledger_store.read_ledger(old, "m").entries == tuple(entry(v) for v in "123")
    assert ledger_store.read_ledger(old, "n").entries == (entry("1", model="n"),)
    assert list(old.list("ledger_checkpoints/")) == []
    assert migrate_ledgers(old) == []


def test_after_a_crash_the_next_call_goes_on(old, monkeypatch):
    put, calls = old.put, []

    def crash(key, data):
        calls.append(key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return put(key, data)

    monkeypatch.setattr(old, "put", crash)
    with pytest.raises(KeyboardInterrupt):
        migrate_ledgers(old)
    monkeypatch.undo()

    assert migrate_ledgers(old) == [
        "ledger/m/00000002.json",
        "ledger/m/00000003.json",
        "ledger/n/00000001.json",
    ]
    assert ledger_store.read_ledger(old, "m").entries == tuple(entry(v) for v in "123")


@pytest.mark.parametrize("content", [None, b"{"])
def test_nothing_of_a_damaged_ledger_is_written(old, content):
    old.delete("ledger/m/00000002.json")
    if content is not None:
        old.put("ledger/m/00000002.json", content)
    before = {key: old.get(key) for key in old.list("ledger/m/")}

    with pytest.raises(ArtifactError, match=r"00000002\.json"):
        migrate_ledgers(old)

    assert {key: old.get(key) for key in old.list("ledger/m/")} == before
