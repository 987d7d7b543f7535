"""Records in a store: objects under their own digest, JSON that the first writer decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from evergreen.errors import ArtifactError
from evergreen.receipts.common import ObjectRef
from evergreen.storage.base import ObjectStore, ref_of, sha256_of
from evergreen.values import Frozen

Document = TypeVar("Document", bound=Frozen)

#: The field that says in which format a document is written, and the format of those without it.
FORMAT_KEY, OLDEST_FORMAT = "format_version", 1
#: The field with the digest of all others; a document of an older release has none.
DIGEST_KEY = "content_digest"


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
    return ref_of(f"{folder}/{name_by_content(data)}{suffix}", data)


def name_by_content(data: bytes) -> str:
    """Return the name, without suffix, that :func:`put_once` gives to *data*."""
    return sha256_of(data)[:32]


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


def find_document(store: ObjectStore, key: str, kind: type[Document]) -> Document | None:
    """
    Return the document under *key*, or None if there is none.

    :raises ArtifactError: If it was written in another format, or is no such document.
    """
    try:
        data = store.get(key)
    except FileNotFoundError:
        return None
    return _parsed(data, kind, key=key, uri=store.uri)


def load_document(store: ObjectStore, key: str, kind: type[Document]) -> Document:
    """
    Return the document under *key*.

    :raises FileNotFoundError: If there is none.
    :raises ArtifactError: If it was written in another format, or is no such document.
    """
    return _parsed(store.get(key), kind, key=key, uri=store.uri)


def put_document(store: ObjectStore, key: str, document: Frozen) -> None:
    """Write *document* under *key*, replacing what was there."""
    store.put(key, document_bytes(document))


def put_document_once(store: ObjectStore, key: str, document: Document) -> Document:
    """Write *document* unless *key* exists, and return what is stored: the first writer wins."""
    data = document_bytes(document)
    if not store.put_if_absent(key, data):
        data = store.get(key)
    return _parsed(data, type(document), key=key, uri=store.uri)


def find_or_make(
    store: ObjectStore, key: str, kind: type[Document], make: Callable[[], Document]
) -> tuple[Document, bool]:
    """
    Return the document under *key*, made by *make* if there is none, and whether it was made.

    Safe to repeat and to run twice at once: of several that make it, all return the first one
    written.

    :raises ArtifactError: If the document was written in another format.
    """
    found = find_document(store, key, kind)
    if found is not None:
        return found, False
    return put_document_once(store, key, make()), True


def document_bytes(document: Frozen, *, exclude: set[str] | None = None) -> bytes:
    """Return *document* as it is stored: its fields, their format and the digest of both."""
    content = {FORMAT_KEY: document.FORMAT, **document.model_dump(mode="json", exclude=exclude)}
    return canonical_json(content | {DIGEST_KEY: digest_of(canonical_json(content))})


def read_document(store: ObjectStore, ref: ObjectRef, kind: type[Document]) -> Document:
    """
    Return the document that *ref* names.

    :raises ArtifactError: If it is gone, was changed, or was written in another format.
    """
    return _parsed(read_object(store, ref), kind, key=ref.key, uri=store.uri)


def _parsed(data: bytes, kind: type[Document], *, key: str, uri: str) -> Document:
    content = parse_object(data, key=key, uri=uri, expected=kind.__name__, remedy=kind.REMEDY)
    written = content.pop(FORMAT_KEY, OLDEST_FORMAT)
    if written != kind.FORMAT:
        raise ArtifactError(
            f"{key} in {uri} was written in format {written} by another release; this one reads "
            f"format {kind.FORMAT}. Nothing was read from it. {kind.OUTDATED.format(uri=uri)}"
        )
    if _digest_of_object(content) is None:
        raise ArtifactError(
            f"{key} in {uri} holds a number or a text that no {kind.__name__} can hold, such as "
            f"NaN or half of a character. {kind.REMEDY}"
        )
    try:
        return kind.model_validate(content)
    except (ValidationError, RecursionError) as error:
        raise ArtifactError(
            f"{key} in {uri} is no {kind.__name__}: {_short(error)}. {kind.REMEDY}"
        ) from error


def parse_object(
    data: bytes, *, key: str, uri: str, expected: str, remedy: str = Frozen.REMEDY
) -> dict[str, Any]:
    """
    Return the JSON object that *data* holds.

    :param key: Where *data* was read, in the store *uri*.
    :param expected: What should be there, for the message.
    :raises ArtifactError: If it is no JSON object, is nested too deeply to be read, or differs
        from the digest in it.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ArtifactError(
            f"{key} in {uri} is no JSON object, expected a {expected}. Nothing was read from it. "
            f"{remedy}"
        )
    recorded = content.pop(DIGEST_KEY, None)
    if recorded is not None and recorded != _digest_of_object(content):
        raise ArtifactError(
            f"{key} in {uri} was changed after it was written: its digest is not {recorded!r:.99}. "
            f"Nothing was read from it. {remedy}"
        )
    return content


def _digest_of_object(content: dict[str, Any]) -> str | None:
    """Return the digest of *content*; None if no document can hold it, such as NaN."""
    try:
        return digest_of(canonical_json(content))
    except (ValueError, RecursionError):
        return None


def _short(error: Exception) -> str:
    """Return one line per fault of *error*, without the input, which may be long."""
    if not isinstance(error, ValidationError):
        return "it is nested too deeply"
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    text = "; ".join(f"{'.'.join(map(str, f['loc'])) or 'it'}: {f['msg']}" for f in faults[:5])
    return text.encode(errors="backslashreplace").decode()


def canonical_json(content: Any) -> bytes:
    """Return the one JSON text of *content*: sorted keys, no NaN, a newline at the end."""
    text = json.dumps(content, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    return text.encode() + b"\n"


def content_digest(document: Frozen) -> str:
    """Return the digest of *document*; a field that a later release adds does not change it."""
    return digest_of(canonical_json(document.model_dump(mode="json", exclude_defaults=True)))


def digest_of(*parts: bytes | str) -> str:
    """Return 32 hex digits of the SHA-256 over *parts*, each prefixed with its length."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()[:32]
