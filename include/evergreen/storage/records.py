"""Records in a store: objects under their own digest, JSON that the first writer decides."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from evergreen.errors import ArtifactError
from evergreen.receipts.common import ObjectRef
from evergreen.storage.base import ObjectStore, ref_of, sha256_of


def read_object(store: ObjectStore, ref: ObjectRef) -> bytes:
    """
    Return the bytes of *ref*.

    :raises ArtifactError: If they are gone, or differ from the digest they were written with.
    """
    try:
        data = store.get(ref.key)
    except FileNotFoundError:
        raise ArtifactError(
            f"{ref.key} is gone from {store.uri}. It was written with sha256 {ref.sha256[:12]}; "
            "restore it from a backup, or clear the task that made it."
        ) from None
    found = ref_of(ref.key, data)
    if found != ref:
        raise ArtifactError(
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


def digest_of(*parts: bytes | str) -> str:
    """Return 32 hex digits of the SHA-256 over *parts*, each prefixed with its length."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()[:32]
