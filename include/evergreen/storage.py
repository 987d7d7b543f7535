"""
The object store: whole objects under keys, never a partial one.

A writer sees its object complete or not at all; a reader checks the digest it was promised.
What may be written twice lies under its own digest, so that the second time changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from typing_extensions import override

from evergreen.errors import ArtefactError
from evergreen.keys import STAGING, checked_key
from evergreen.receipts import ObjectRef


@dataclass(frozen=True, kw_only=True)
class ObjectHead:
    """What is known of an object without reading it; ``fingerprint`` changes with its bytes."""

    size: int
    fingerprint: str
    written_at: datetime


@dataclass
class Traffic:
    """Bytes of objects that one process read from a store and wrote to it."""

    read: int = 0
    written: int = 0


class ObjectStore(Protocol):
    """The whole interface, so that a folder and a bucket are interchangeable."""

    uri: str
    traffic: Traffic

    def head(self, key: str) -> ObjectHead | None:
        """Return what is known of *key*, or None if there is no such object."""

    def get(self, key: str) -> bytes:
        """Return the bytes of *key*; raises FileNotFoundError if there is no such object."""

    def put(self, key: str, data: bytes) -> ObjectRef:
        """Write *data* under *key*, replacing what was there in one step."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write *data* unless *key* exists; return whether this call wrote it."""

    def delete(self, key: str) -> None:
        """Remove *key*; an object that is gone already is no error."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with *prefix*, in order."""

    def heads(self, prefix: str) -> Iterator[tuple[str, ObjectHead]]:
        """Yield every key that starts with *prefix*, in order, with what is known of it."""

    def unfinished(self) -> Iterator[tuple[str, datetime]]:
        """Yield name and time of each write that was begun; those of long ago were never ended."""

    def discard(self, name: str) -> None:
        """Remove what an unfinished write left behind."""

    def url(self, key: str) -> str:
        """Return an address of *key* that a person can open."""


class FolderStore(ObjectStore):
    """An object store in a local folder, safe among processes of one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.uri = self.root.as_uri()
        self.traffic = Traffic()

    @override
    def head(self, key: str) -> ObjectHead | None:
        try:
            found = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return ObjectHead(
            size=found.st_size,
            fingerprint=f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}",
            written_at=datetime.fromtimestamp(found.st_mtime, tz=UTC),
        )

    @override
    def get(self, key: str) -> bytes:
        data = self._path(key).read_bytes()
        self.traffic.read += len(data)
        return data

    @override
    def put(self, key: str, data: bytes) -> ObjectRef:
        target = self._path(key)
        os.replace(self._staged(data), _with_parents(target))
        _sync_folder(target.parent)
        return ref_of(key, data)

    @override
    def put_if_absent(self, key: str, data: bytes) -> bool:
        target = self._path(key)
        if target.exists():
            return False
        staged = self._staged(data)
        try:
            os.link(staged, _with_parents(target))  # fails, atomically, if someone was faster
        except FileExistsError:
            return False
        finally:
            staged.unlink()
        _sync_folder(target.parent)
        return True

    @override
    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    @override
    def list(self, prefix: str) -> Iterator[str]:
        folder = self.root / prefix.rpartition("/")[0]
        keys = (p.relative_to(self.root).as_posix() for p in folder.rglob("*") if p.is_file())
        return iter(sorted(k for k in keys if k.startswith(prefix) and not k.startswith(STAGING)))

    @override
    def heads(self, prefix: str) -> Iterator[tuple[str, ObjectHead]]:
        for key in self.list(prefix):
            if (found := self.head(key)) is not None:
                yield key, found

    @override
    def unfinished(self) -> Iterator[tuple[str, datetime]]:
        for path in sorted((self.root / STAGING).glob("*")):
            yield path.name, datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)

    @override
    def discard(self, name: str) -> None:
        (self.root / STAGING / Path(name).name).unlink(missing_ok=True)

    @override
    def url(self, key: str) -> str:
        return self._path(key).as_uri()

    def _staged(self, data: bytes) -> Path:
        folder = self.root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.traffic.written += len(data)
        return Path(file.name)

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*checked_key(key).split("/"))


def open_store(uri: str) -> ObjectStore:
    """
    Return the store at *uri*, such as ``file:///srv/evergreen`` or ``s3://bucket/prefix``.

    A bucket is opened with what boto3 finds in the environment.

    :raises ValueError: If the scheme has no store.
    """
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        from evergreen.bucket import BucketStore  # boto3, for those who have one

        return BucketStore(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return FolderStore(Path(unquote(parts.path)))
    raise ValueError(
        f"No object store for {uri!r}. Expected file:///absolute/folder or s3://bucket/prefix."
    )


def ref_of(key: str, data: bytes) -> ObjectRef:
    """Describe *data* as it is stored under *key*."""
    return ObjectRef(key=key, sha256=sha256_of(data), size=len(data))


def read(store: ObjectStore, ref: ObjectRef) -> bytes:
    """
    Return the bytes of *ref*.

    :raises ArtefactError: If they are gone, or differ from the digest they were written with.
    """
    try:
        data = store.get(ref.key)
    except FileNotFoundError:
        raise ArtefactError(
            f"{ref.key} is gone from {store.uri}. It was written with sha256 {ref.sha256[:12]}; "
            "restore it from a backup, or clear the task that made it."
        ) from None
    found = ref_of(ref.key, data)
    if found != ref:
        raise ArtefactError(
            f"{ref.key} was changed after it was written: found {found.size} bytes with sha256 "
            f"{found.sha256[:12]}, expected {ref.size} bytes with {ref.sha256[:12]}. Nothing was "
            "read from it. Restore it from a backup, or delete it and clear the task that made it."
        )
    return data


def ref_once(folder: str, data: bytes, *, suffix: str) -> ObjectRef:
    """Describe *data* as :func:`put_once` stores it."""
    return ref_of(f"{folder}/{sha256_of(data)[:32]}{suffix}", data)


def put_once(store: ObjectStore, folder: str, data: bytes, *, suffix: str) -> ObjectRef:
    """Write *data* under its own digest in *folder*; writing it again changes nothing."""
    ref = ref_once(folder, data, suffix=suffix)
    if not store.put_if_absent(ref.key, data) and store.get(ref.key) != data:
        store.put(ref.key, data)  # someone damaged the object after it was written: heal it
    return ref


def put_if_changed(store: ObjectStore, key: str, data: bytes) -> bool:
    """Write *data* under *key* unless it is there already; return whether it was written."""
    if store.head(key) is not None and store.get(key) == data:
        return False
    store.put(key, data)
    return True


def put_json_once(store: ObjectStore, key: str, content: dict[str, Any]) -> dict[str, Any]:
    """Write *content* unless *key* exists, and return what is stored: the first writer wins."""
    store.put_if_absent(key, canonical_json(content))
    found: dict[str, Any] = json.loads(store.get(key))
    return found


def canonical_json(content: Any) -> bytes:
    """Return the one JSON text of *content*: sorted keys, no NaN, a newline at the end."""
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    return text.encode() + b"\n"


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of *data* as 64 hex digits, as sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


def digest_of(*parts: bytes | str) -> str:
    """Return 32 hex digits of the SHA-256 over *parts*, each prefixed with its length."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()[:32]


def _with_parents(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: POSIX asks for the folder to be synced too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
