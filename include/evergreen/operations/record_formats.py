"""Find and delete the records that another release wrote in another format."""

from __future__ import annotations

from collections.abc import Iterator

from evergreen.errors import ArtifactError
from evergreen.registry.ledger_entries import Checkpoint, WrittenEntry
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import FORMAT_KEY, OLDEST_FORMAT, name_by_content, parse_object
from evergreen.values import Frozen

#: The formats of the kinds that have one of their own.
FORMATS = {"ledger": WrittenEntry.FORMAT, "ledger_checkpoints": Checkpoint.FORMAT}


def outdated_records(store: ObjectStore) -> Iterator[tuple[str, int]]:
    """
    Yield the key and the format of each record that this release refuses.

    Objects that are named by their content have no format of their own: a record names them. They
    are left to retention. What is no JSON object has no format either; check-state names it.
    """
    for kind in layout.KINDS:
        for key in store.list(f"{kind}/"):
            if not key.endswith(".json"):
                continue
            data = store.get(key)
            if key.endswith(f"/{name_by_content(data)}.json"):
                continue
            try:
                content = parse_object(data, key=key, uri=store.uri, expected="record")
            except ArtifactError:
                continue
            written = content.get(FORMAT_KEY, OLDEST_FORMAT)
            if isinstance(written, int) and written != FORMATS.get(kind, Frozen.FORMAT):
                yield key, written


def discard_records(store: ObjectStore) -> list[str]:
    """
    Delete every record that this release refuses, the entries of ledgers last.

    Safe to repeat: what an earlier attempt left is deleted by the next one.

    :return: The keys that were deleted.
    """
    keys = [key for key, _ in outdated_records(store)]
    for key in sorted(keys, key=lambda key: layout.kind_of(key) == "ledger"):
        store.delete(key)
    return keys
