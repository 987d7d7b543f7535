"""
What every object store keeps, asked of a folder and of a server that speaks S3.

What differs between them is in test_folder.py and test_s3.py.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.s3 import bucket_at

from evergreen.errors import ArtifactError
from evergreen.storage.base import ObjectStore
from evergreen.storage.folder import FolderStore
from evergreen.storage.opening import open_store
from evergreen.storage.records import canonical_json, put_once, read_object

#: The smallest part that S3 takes.
MINIMUM = 5 * 1024 * 1024


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, s3) -> ObjectStore:
    if request.param == "folder":
        return FolderStore(tmp_path)
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    return bucket_at(s3, name, part_bytes=MINIMUM, page_keys=2)


def test_what_is_put_is_what_is_got(store):
    ref = store.put("a/b.bin", b"one")

    assert store.get("a/b.bin") == b"one"
    assert read_object(store, ref) == b"one"


def test_the_bytes_that_went_through_are_counted(store):
    store.put("a", b"four")
    store.put_if_absent("a", b"kept out")
    store.get("a")
    store.get("a")

    assert (store.traffic.written, store.traffic.read) == (4, 8)


def test_put_if_absent_keeps_the_first(store):
    assert store.put_if_absent("k", b"one") is True
    assert store.put_if_absent("k", b"two") is False
    assert store.get("k") == b"one"


def test_of_many_writers_one_wins(store):
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(store.put_if_absent, "k", b"%d" % n) for n in range(8)]
        won = [n for n, one in enumerate(tries) if one.result()]

    assert len(won) == 1
    assert store.get("k") == b"%d" % won[0]


def test_what_is_not_there_is_said_so(store):
    with pytest.raises(FileNotFoundError):
        store.get("missing")
    assert store.head("missing") is None
    store.delete("missing")


def test_a_deleted_object_is_gone_from_everywhere(store):
    store.put("a/b", b"x")
    store.delete("a/b")

    assert store.head("a/b") is None
    assert list(store.list("")) == []


def test_a_large_object_is_one_object(store):
    """Above the size of a part a bucket sends parts; nobody sees them."""
    data = os.urandom(MINIMUM * 2 + 1)

    ref = store.put("big", data)

    assert read_object(store, ref) == data
    assert list(store.list("")) == ["big"]
    assert store.head("big").size == len(data)
    assert list(store.unfinished()) == []
    assert store.put_if_absent("big", data + b"x") is False
    assert store.put_if_absent("big2", data) is True
    assert store.get("big2") == data


def test_heads_are_what_head_says(store):
    for key in ("a/1", "a/2", "a/3"):
        store.put(key, key.encode())

    assert dict(store.heads("a/")) == {key: store.head(key) for key in ("a/1", "a/2", "a/3")}


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

    with pytest.raises(ArtifactError, match="was changed after it was written"):
        read_object(store, ref)


def test_a_lost_object_is_an_error_that_says_what_to_do(store):
    ref = store.put("k", b"one")
    store.delete("k")

    with pytest.raises(ArtifactError, match="clear the task that made it"):
        read_object(store, ref)


def test_damage_is_healed_by_writing_again(store):
    ref = put_once(store, "folder", b"data", suffix=".bin")
    store.put(ref.key, b"dama")

    assert put_once(store, "folder", b"data", suffix=".bin") == ref
    assert read_object(store, ref) == b"data"


def test_json_has_one_text_and_no_nan():
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_an_address_without_a_store_is_refused(tmp_path):
    assert open_store(tmp_path.as_uri()).uri == tmp_path.as_uri()
    for wrong in ("ftp://host/folder", "s3:///prefix", "s3://bucket/../other"):
        with pytest.raises(ValueError, match=r"Expected (file|s3)://|is not an object key"):
            open_store(wrong)
