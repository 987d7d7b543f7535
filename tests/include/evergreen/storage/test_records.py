"""Documents: the first writer wins, a retry reads, and another format is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.errors import ArtifactError
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import (
    DIGEST_KEY,
    FORMAT_KEY,
    document_bytes,
    find_document,
    find_or_make,
    load_document,
    put_document,
    put_document_once,
)
from evergreen.values import Frozen


class Note(Frozen):
    text: str


@pytest.fixture
def store(tmp_path) -> FolderStore:
    return FolderStore(tmp_path)


def test_what_is_there_is_found_and_not_made_again(store):
    first = find_or_make(store, "notes/a.json", Note, lambda: Note(text="one"))
    second = find_or_make(store, "notes/a.json", Note, lambda: pytest.fail("made again"))

    assert first == (Note(text="one"), True)
    assert second == (Note(text="one"), False)


def test_of_many_that_make_it_all_get_the_first_one_written(store):
    barrier = Barrier(8)

    def make(number: int) -> Note:
        barrier.wait(timeout=30)
        return Note(text=str(number))

    with ThreadPoolExecutor(8) as pool:
        tries = [
            pool.submit(find_or_make, store, "notes/a.json", Note, lambda n=n: make(n))
            for n in range(8)
        ]
        found = {one.result()[0].text for one in tries}

    assert found == {load_document(store, "notes/a.json", Note).text}


def test_a_maker_that_fails_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError):
        find_or_make(store, "notes/a.json", Note, lambda: Note(text=str(1 / 0)))

    assert list(store.list("")) == []


def test_the_second_writer_gets_the_first_document(store):
    put_document_once(store, "notes/a.json", Note(text="one"))

    assert put_document_once(store, "notes/a.json", Note(text="two")) == Note(text="one")


def test_a_document_says_its_format(store):
    put_document(store, "notes/a.json", Note(text="one"))

    content = json.loads(store.get("notes/a.json"))
    assert content.pop(DIGEST_KEY)
    assert content == {FORMAT_KEY: Note.FORMAT, "text": "one"}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_changed_document_is_refused_or_says_the_same(store, place, bit, cut):
    """300 generated damages: one bit flipped, or the end cut off."""
    data = bytearray(document_bytes(Note(text="some text of a note")))
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << bit
    store.put("notes/a.json", bytes(data))

    assert _outcome(store) in ("refused", Note(text="some text of a note"))


def _outcome(store) -> Note | str:
    try:
        return load_document(store, "notes/a.json", Note)
    except ArtifactError as error:
        return "refused" if "notes/a.json" in str(error) else str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b'{"text": ' * 200_000,
        b'{"format_version": [2], "text": "a"}',
        b'{"format_version": 2, "text": NaN}',
        b'{"format_version": 2, "text": "\\ud800"}',
        b'{"format_version": ' + b"9" * 5000 + b"}",
        b'{"content_digest": 7, "format_version": 2, "text": "a"}',
    ],
)
def test_json_that_is_hostile_is_refused(store, data):
    store.put("notes/a.json", data)

    with pytest.raises(ArtifactError, match=r"notes/a\.json"):
        load_document(store, "notes/a.json", Note)


def test_a_document_without_a_digest_is_one_of_an_older_release(store):
    content = {FORMAT_KEY: Note.FORMAT, "text": "one"}
    store.put("notes/a.json", json.dumps(content).encode())

    assert load_document(store, "notes/a.json", Note) == Note(text="one")


@pytest.mark.parametrize("written", [None, 1, Note.FORMAT + 1])
def test_a_document_of_another_format_is_refused_with_what_to_do(store, written):
    content = {"text": "one"} if written is None else {FORMAT_KEY: written, "text": "one"}
    store.put("notes/a.json", json.dumps(content).encode())

    with pytest.raises(ArtifactError) as refused:
        find_document(store, "notes/a.json", Note)

    for part in (
        "notes/a.json",
        store.uri,
        f"format {written or 1} ",
        f"format {Note.FORMAT}.",
        f"discard-records {store.uri}",
    ):
        assert part in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe"])
def test_what_is_no_document_is_refused(store, data):
    store.put("notes/a.json", data)

    with pytest.raises(ArtifactError, match=r"notes/a\.json in .* is no JSON object"):
        find_document(store, "notes/a.json", Note)


def test_another_document_is_refused(store):
    content = {FORMAT_KEY: Note.FORMAT, "word": "one"}
    store.put("notes/a.json", json.dumps(content).encode())

    with pytest.raises(ArtifactError, match=r"is no Note"):
        load_document(store, "notes/a.json", Note)
