from __future__ import annotations

import multiprocessing
import os

import pytest

from evergreen.errors import ArtefactError
from evergreen.storage import FolderStore, canonical_json, open_store, put_once, read


@pytest.fixture
def store(tmp_path) -> FolderStore:
    return FolderStore(tmp_path)


def test_what_is_put_is_what_is_got(store):
    ref = store.put("a/b.bin", b"one")

    assert store.get("a/b.bin") == b"one"
    assert read(store, ref) == b"one"


def test_put_if_absent_keeps_the_first(store):
    assert store.put_if_absent("k", b"one") is True
    assert store.put_if_absent("k", b"two") is False
    assert store.get("k") == b"one"


def _race(root, data, wins):
    wins.put(FolderStore(root).put_if_absent("k", data))


def test_of_many_writers_one_wins(tmp_path):
    wins = multiprocessing.get_context("fork").SimpleQueue()
    racers = [
        multiprocessing.get_context("fork").Process(target=_race, args=(tmp_path, b"%d" % n, wins))
        for n in range(8)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sum(wins.get() for _ in racers) == 1


def test_a_write_that_dies_leaves_nothing_to_see(store, monkeypatch):
    """The last step is a rename, so whatever fails before it is invisible."""

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        store.put("a/b", b"half")

    assert store.head("a/b") is None
    assert list(store.list("")) == []


def test_keys_are_listed_in_order_below_a_prefix(store):
    for key in ("b/2", "b/1", "ba/3", "c"):
        store.put(key, b"x")

    assert list(store.list("b/")) == ["b/1", "b/2"]
    assert list(store.list("b")) == ["b/1", "b/2", "ba/3"]
    assert list(store.list("none/")) == []


def test_a_fingerprint_changes_with_the_bytes(store):
    store.put("k", b"one")
    before = store.head("k")
    store.put("k", b"two")

    assert store.head("k") != before
    assert store.head("missing") is None


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "a/../b", "./a", "a//b", "a\x00", ".staging/x", "a b"]
)
def test_a_key_cannot_leave_the_store(store, key):
    with pytest.raises(ValueError, match="is not an object key"):
        store.put(key, b"x")


def test_changed_bytes_are_refused(store):
    ref = store.put("k", b"one")
    store.put("k", b"two")

    with pytest.raises(ArtefactError, match="was changed after it was written"):
        read(store, ref)


def test_a_lost_object_is_an_error_that_says_what_to_do(store):
    ref = store.put("k", b"one")
    (store.root / "k").unlink()

    with pytest.raises(ArtefactError, match="clear the task that made it"):
        read(store, ref)


def test_damage_is_healed_by_writing_again(store):
    ref = put_once(store, "folder", b"data", suffix=".bin")
    store.put(ref.key, b"dama")

    assert put_once(store, "folder", b"data", suffix=".bin") == ref
    assert read(store, ref) == b"data"


def test_json_has_one_text_and_no_nan():
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_an_address_without_a_store_is_refused(tmp_path):
    assert open_store(tmp_path.as_uri()).uri == tmp_path.as_uri()
    with pytest.raises(ValueError, match="Expected file:///"):
        open_store("ftp://host/folder")
