"""check-state names every object of a ledger that is damaged, missing or no entry."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from tests.include.evergreen.registry.test_ledger_entries import change, filled

from evergreen.operations.ledger_checks import checkpoint_faults, ledger_faults
from evergreen.registry import ledger as ledger_store
from evergreen.registry.ledger_mirror import TAG_MIRRORED
from evergreen.storage.folder import FolderStore


class Client:
    """An MLflow that shows seven entries."""

    def get_experiment_by_name(self, name):
        return SimpleNamespace(tags={TAG_MIRRORED: "7"})


@pytest.fixture
def store(tmp_path, monkeypatch) -> FolderStore:
    monkeypatch.setattr(ledger_store, "CHECKPOINT_EVERY", 3)
    return filled(tmp_path)


def faults(store: FolderStore) -> list[str]:
    return list(ledger_faults(store, Client(), "m"))


def test_a_whole_ledger_has_none(store):
    assert faults(store) == []
    assert list(checkpoint_faults(store, "m")) == []


def test_each_object_is_named(store):
    store.put("ledger/m/00000003.json.bak", b"")
    store.delete("ledger/m/00000007.json")
    change(store, "ledger/m/00000005.json", b'"number": 5', b'"number": 6')

    stray, changed, missing = sorted(faults(store))

    assert stray.startswith("ledger/m/00000003.json.bak is no entry")
    assert changed.startswith("ledger/m/00000005.json has number 6")
    assert missing.startswith("ledger/m/00000007.json is missing: MLflow shows 7 entries")


def test_damaged_entries_after_a_damaged_one_are_named_too(store):
    for number in (2, 5):
        store.put(f"ledger/m/{number:08d}.json", b"{")

    assert [fault.split()[0] for fault in faults(store)] == [
        "ledger/m/00000002.json",
        "ledger/m/00000005.json",
    ]


def test_an_entry_in_the_middle_is_missing(store):
    store.delete("ledger/m/00000002.json")

    assert faults(store)[0].startswith("ledger/m/00000002.json is missing. Restore it")


@pytest.mark.parametrize("name", ["x.json", "00000003.json.bak", "00000009.json", "00000004.json"])
def test_a_checkpoint_without_entries_is_named(store, name):
    store.put(f"ledger_checkpoints/m/{name}", b"{}")

    (found,) = checkpoint_faults(store, "m")

    assert found.startswith(f"ledger_checkpoints/m/{name} ")


@pytest.mark.parametrize("short", [True, False])
def test_a_damaged_checkpoint_is_named(store, short):
    key = "ledger_checkpoints/m/00000003.json"
    content = json.loads(store.get(key))
    del content["entries"][-1]
    store.put(key, json.dumps(content).encode() if short else b"{")

    (found,) = checkpoint_faults(store, "m")

    assert found.startswith(key)
