"""Records of another format are listed, deleted on request, and nothing else is."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from evergreen.cli import app
from evergreen.operations.record_formats import discard_records, outdated_records
from evergreen.registry.ledger_entries import WrittenEntry
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import FORMAT_KEY, document_bytes, put_once
from evergreen.values import Frozen


class Note(Frozen):
    text: str


NEW = document_bytes(Note(text="one"))
OLD = json.dumps({"text": "one"}).encode()
NEWER = json.dumps({FORMAT_KEY: Note.FORMAT + 1, "text": "one"}).encode()


@pytest.fixture
def store(tmp_path) -> FolderStore:
    """A store with records of three formats, and with what is no record."""
    store = FolderStore(tmp_path)
    for key, data in {
        "ledger/m/00000001.json": OLD,
        "ledger/n/00000001.json": json.dumps({FORMAT_KEY: WrittenEntry.FORMAT}).encode(),
        "candidates/m/cut.json": NEW[:9],
        "candidates/m/deep.json": b"[" * 100_000,
        "candidates/m/other.json": b'{"format_version": [1]}',
        "candidates/m/a.json": OLD,
        "candidates/m/b.json": NEWER,
        "candidates/m/c.json": NEW,
        "predictions/m/2013-03-01/x.parquet": OLD,
        "raw/flights/2013-03-01.json": OLD,
    }.items():
        store.put(key, data)
    put_once(store, "examples/m/windows", OLD, suffix=".json")
    return store


OUTDATED = ["candidates/m/a.json", "candidates/m/b.json", "ledger/m/00000001.json"]


def test_records_of_another_format_are_found_and_nothing_else(store):
    assert sorted(outdated_records(store)) == [
        ("candidates/m/a.json", 1),
        ("candidates/m/b.json", Note.FORMAT + 1),
        ("ledger/m/00000001.json", 1),
    ]


def test_they_are_deleted_once_the_ledger_last(store, monkeypatch):
    before, deleted = set(store.list("")), []
    delete = store.delete
    monkeypatch.setattr(store, "delete", lambda key: (deleted.append(key), delete(key)))

    assert discard_records(store) == OUTDATED
    assert deleted == OUTDATED
    assert before - set(store.list("")) == set(OUTDATED)
    assert discard_records(store) == []


def test_the_command_only_lists_them_unless_it_is_asked_to_delete(store):
    listed = CliRunner().invoke(app, ["discard-records", store.uri])
    assert (listed.exit_code, len(list(outdated_records(store)))) == (0, 3)
    assert "ledger/m/00000001.json (format 1)" in listed.output
    assert f"3 records would be deleted in {store.uri}" in listed.output

    done = CliRunner().invoke(app, ["discard-records", store.uri, "--no-dry-run"])
    assert (done.exit_code, list(outdated_records(store))) == (0, [])
    assert f"3 records were deleted in {store.uri}" in done.output
