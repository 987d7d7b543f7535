"""
The object store: whole objects under keys, never a partial one.

A writer sees its object complete or not at all; a reader checks the digest it was promised.
What may be written twice lies under its own digest, so that the second time changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evergreen.receipts.common import ObjectRef


@dataclass(frozen=True, kw_only=True)
class ObjectHead:
    """What is known of an object without reading it; ``fingerprint`` changes with its bytes."""

    size: int
    fingerprint: str
    written_at: datetime


@dataclass
class ByteCounts:
    """Bytes of objects that one process read from a store and wrote to it."""

    read: int = 0
    written: int = 0


class ObjectStore(Protocol):
    """The whole interface, so that a folder and a bucket are interchangeable."""

    uri: str
    traffic: ByteCounts

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


def ref_of(key: str, data: bytes) -> ObjectRef:
    """Describe *data* as it is stored under *key*."""
    return ObjectRef(key=key, sha256=sha256_of(data), size=len(data))


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of *data* as 64 hex digits, as sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()
