"""A damaged ledger is refused with the key and the remedy; what is no entry is left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.errors import ArtifactError
from evergreen.registry import ledger as ledger_store
from evergreen.registry.ledger import LedgerEntry
from evergreen.registry.ledger_entries import WrittenEntry
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import DIGEST_KEY

NOW = datetime(2013, 7, 1, tzinfo=UTC)
VERSIONS = [str(n) for n in range(1, 8)]


def entry(version: str, *, model: str = "m") -> LedgerEntry:
    return LedgerEntry(
        step="outcome",
        action="promote",
        model=model,
        version=version,
        previous=None,
        as_of=NOW,
        serves_from=NOW,
        artifact_sha256="0" * 64,
        actor="test",
        reason="",
        recorded_at=NOW,
    )


@pytest.fixture
def store(tmp_path, monkeypatch) -> FolderStore:
    """Seven entries, three to a checkpoint."""
    monkeypatch.setattr(ledger_store, "CHECKPOINT_EVERY", 3)
    return filled(tmp_path)


def filled(folder: Path, *, model: str = "m") -> FolderStore:
    store = FolderStore(folder)
    found = ledger_store.read_ledger(store, model)
    for version in VERSIONS:
        found = ledger_store.append(store, found, entry(version, model=model))
    return store


def versions(store: FolderStore) -> list[str]:
    return [e.version for e in ledger_store.read_ledger(store, "m").entries]


def change(store: FolderStore, key: str, old: bytes, new: bytes) -> None:
    """Replace a part of an entry that has no digest of its document, only that of the chain."""
    content = json.loads(store.get(key))
    del content[DIGEST_KEY]
    data = json.dumps(content).encode()
    assert old in data
    store.put(key, data.replace(old, new))


LAST = "ledger/m/00000007.json"


@pytest.mark.parametrize(
    "stray",
    [
        "ledger/m/00000003.json.bak",
        "ledger/m/sub/00000001.json",
        "ledger/m/notes.txt",
        "ledger/m/8.json",
        "ledger/m/000000008.json",
        "ledger/m/00000008.json/part",
    ],
)
def test_what_is_no_entry_is_left_out(store, stray):
    store.put(stray, store.get(LAST))

    assert versions(store) == VERSIONS


def test_an_entry_can_follow_stray_objects(store):
    store.put("ledger/m/notes.txt", b"a note")

    ledger_store.append_once(store, entry("8"))

    assert versions(store) == [*VERSIONS, "8"]


@pytest.mark.parametrize("number", [1, 4, 6])
@pytest.mark.parametrize(
    "ask",
    [
        lambda store: ledger_store.read_ledger(store, "m"),
        lambda store: ledger_store.append_once(store, entry("8")),
    ],
)
def test_a_missing_entry_is_named(store, number, ask):
    key = layout.ledger_entry("m", number)
    store.delete(key)

    with pytest.raises(ArtifactError, match=rf"{key} is missing in .* Restore it from a backup"):
        ask(store)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"version": "7"', b'"version": "2"', "was changed after it was written"),
        (b'"number": 7', b'"number": 6', "has number 6, expected 7"),
        (b'"model": "m"', b'"model": "other"', "is an entry of model other, expected m"),
        (b"2013-07-01T00:00:00Z", b"2013-07-01T00:00:00", "should have timezone info"),
        (b'"number": 7', b'"number": 7, "more": 1', "more: Extra inputs"),
        (b"{", b"", "is no JSON object"),
    ],
)
def test_a_changed_entry_is_named(store, old, new, reason):
    change(store, LAST, old, new)

    with pytest.raises(ArtifactError, match=f"{LAST}.*{reason}.*rollback DAG"):
        ledger_store.read_ledger(store, "m")


def test_an_entry_of_another_model_in_its_place_is_named(store, tmp_path):
    store.put(LAST, filled(tmp_path / "other", model="other").get("ledger/other/00000007.json"))

    with pytest.raises(ArtifactError, match=f"{LAST}.*of model other, expected m"):
        ledger_store.read_ledger(store, "m")


def test_an_entry_with_a_digest_of_its_own_does_not_fit_the_chain(store):
    """A forger who knows the digest must write all later entries too."""
    change(store, "ledger/m/00000006.json", b'"version": "6"', b'"version": "9"')
    store.delete("ledger_checkpoints/m/00000006.json")
    with pytest.raises(ArtifactError, match=r"digest is (\w+)") as error:
        ledger_store.read_ledger(store, "m")
    content = json.loads(store.get("ledger/m/00000006.json"))
    content["digest"] = str(error.value).split("digest is ")[1].split(",")[0]
    store.put("ledger/m/00000006.json", json.dumps(content).encode())

    with pytest.raises(ArtifactError, match=f"{LAST}.*one of the two was replaced"):
        ledger_store.read_ledger(store, "m")


def shorten(content: dict) -> None:
    del content["entries"][-1]


def promote_another(content: dict) -> None:
    content["entries"][1]["entry"]["version"] = "9"


def swap(content: dict) -> None:
    content["entries"].reverse()


@pytest.mark.parametrize("damage", [shorten, promote_another, swap])
@pytest.mark.parametrize("number", [3, 6])
def test_a_checkpoint_is_used_only_if_it_is_whole_and_fits(store, damage, number):
    key = layout.ledger_checkpoint("m", number)
    content = json.loads(store.get(key))
    del content[DIGEST_KEY]
    damage(content)
    store.put(key, json.dumps(content).encode())

    assert versions(store) == VERSIONS


def test_a_checkpoint_of_another_history_is_not_believed(store, tmp_path):
    other = FolderStore(tmp_path / "other")
    found = ledger_store.read_ledger(other, "m")
    for version in ("7", "8", "9", "9", "9", "9"):
        found = ledger_store.append(other, found, entry(version))
    for number in (3, 6):
        key = layout.ledger_checkpoint("m", number)
        store.put(key, other.get(key))

    assert versions(store) == VERSIONS


def test_a_directory_in_place_of_the_next_entry_is_named_and_no_loop(store):
    store.put("ledger/m/00000008.json/part", b"")

    with pytest.raises(ArtifactError, match=r"a folder at .*/00000008\.json, expected a file"):
        ledger_store.append_once(store, entry("8"))


def test_a_field_that_a_later_release_adds_does_not_change_digests(store):
    class Later(LedgerEntry):
        comment: str | None = None

    old = ledger_store.read_ledger(store, "m").written[-1]
    later = Later.model_validate(old.entry.model_dump())

    assert WrittenEntry.model_validate(old.model_dump()) == old
    assert later.model_dump(exclude_defaults=True) == old.entry.model_dump(exclude_defaults=True)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(1, 7),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    kind=st.sampled_from(["flip", "cut", "delete"]),
    with_checkpoints=st.booleans(),
)
def test_any_damage_of_one_entry_is_refused_or_changes_nothing(
    tmp_path_factory, number, place, bit, kind, with_checkpoints
):
    """300 generated damages: nothing else than what was written is ever believed."""
    store = filled(tmp_path_factory.mktemp("ledger"))
    key = layout.ledger_entry("m", number)
    data = bytearray(store.get(key))
    at = int(place * len(data))
    if kind == "delete":
        store.delete(key)
    elif kind == "cut":
        store.put(key, bytes(data[:at]))
    else:
        data[at] ^= 1 << bit
        store.put(key, bytes(data))
    if not with_checkpoints:
        for one in list(store.list("ledger_checkpoints/")):
            store.delete(one)

    expected = VERSIONS[:-1] if (kind, number) == ("delete", 7) else VERSIONS
    assert outcome(store) in (expected, key)


def outcome(store: FolderStore) -> list[str] | str:
    """Return the versions that are read, or the key that is refused."""
    try:
        return versions(store)
    except ArtifactError as error:
        return str(error).split()[0]
