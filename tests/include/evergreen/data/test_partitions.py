"""What lies in a partition's place: whole, half written, of another format, or no file at all."""

from __future__ import annotations

import gzip
import io
import os
import socket
import time
import zipfile
from datetime import date

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.data.partitions import Partition, has_landed, open_partition
from evergreen.errors import ArtifactError, DataContractError
from evergreen.storage.folder import FolderStore

KEY = "raw/orders/2026-01-05.parquet"
PART = Partition(table="orders", day=date(2026, 1, 5), key=KEY)
TABLE = pa.table({"id": list(range(50)), "name": ["a", "b"] * 25})


def _bytes(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _zip(buffer) -> None:
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("orders.csv", "id,name")


PARQUET = _bytes(lambda buffer: pq.write_table(TABLE, buffer))
OTHERS = {
    "CSV": b"id,name\n1,a\n",
    "CSV with a byte order mark": "id;name\n1;a\n".encode("utf-8-sig"),
    "gzip": gzip.compress(PARQUET),
    "zip": _bytes(_zip),
    "Feather": _bytes(lambda buffer: feather.write_feather(TABLE, buffer)),
    "ORC": _bytes(lambda buffer: orc.write_table(TABLE, buffer)),
    "JSON": b'{"id": 1}',
    "HTML": b"<!doctype html><title>502</title>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    "an empty file": b"",
    "cut short": PARQUET[:-50],
    "another format": bytes(range(128, 200)),
    "text": b"see attachment",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_format_is_named(kind):
    with pytest.raises(DataContractError) as raised:
        open_partition(PART, OTHERS[kind])

    assert kind.removesuffix(" with a byte order mark") in str(raised.value)
    assert KEY in str(raised.value)


@settings(max_examples=300, deadline=None)
@given(
    begin=st.integers(0, len(PARQUET)),
    end=st.integers(0, len(PARQUET)),
    noise=st.binary(max_size=8),
    at=st.integers(0, len(PARQUET)),
)
def test_a_damaged_file_is_read_or_refused(begin, end, noise, at):
    """Property: cut anywhere and overwritten anywhere, no other error leaves the reader."""
    data = bytearray(PARQUET[min(begin, end) :])
    data[at : at + len(noise)] = noise

    try:
        found = open_partition(PART, bytes(data))
    except DataContractError:
        return
    assert found.num_rows == TABLE.num_rows


@pytest.fixture
def store(tmp_path) -> FolderStore:
    found = FolderStore(tmp_path)
    (tmp_path / KEY).parent.mkdir(parents=True)
    return found


def _folder(path) -> None:
    path.mkdir()


def _loop(path) -> None:
    path.symlink_to(path)


def _dangling(path) -> None:
    path.symlink_to(path.with_name("nothing"))


def _pipe(path) -> None:
    os.mkfifo(path)


def _socket(path) -> None:
    os.chdir(path.parent)  # a socket's path is short
    socket.socket(socket.AF_UNIX).bind(path.name)


@pytest.mark.parametrize(
    ("put", "says"),
    [
        (_folder, "a folder"),
        (_loop, "cannot be looked at"),
        (_dangling, "a link to nothing"),
        (_pipe, "a pipe"),
        (_socket, "a socket"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.head(KEY),
        lambda store: store.get(KEY),
        lambda store: has_landed(store, KEY),
        lambda store: store.put_if_absent(KEY, b"x"),
    ],
    ids=["head", "get", "has_landed", "put_if_absent"],
)
def test_what_is_no_file_is_named_and_never_waited_for(store, put, says, use, monkeypatch):
    monkeypatch.chdir(store.root)
    put(store.root / KEY)

    with pytest.raises(ArtifactError, match=says):
        use(store)


def test_a_link_to_a_file_is_that_file(store):
    elsewhere = store.root / "elsewhere.parquet"
    elsewhere.write_bytes(PARQUET)
    (store.root / KEY).symlink_to(elsewhere)

    assert has_landed(store, KEY)
    assert store.get(KEY) == PARQUET


def test_a_file_has_landed_once_it_is_written_to_its_end(store):
    path = store.root / KEY

    assert not has_landed(store, KEY)
    path.write_bytes(PARQUET[:100])
    assert not has_landed(store, KEY)
    path.write_bytes(PARQUET)
    assert has_landed(store, KEY)


def test_a_file_that_stays_damaged_is_judged(store):
    path = store.root / KEY
    path.write_bytes(b"id,name")
    os.utime(path, (time.time() - 61,) * 2)

    assert has_landed(store, KEY)
