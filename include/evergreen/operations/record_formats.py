"""Find and delete the records that another release wrote in another format."""

from __future__ import annotations

import json
from collections.abc import Iterator

from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import FORMAT_KEY, OLDEST_FORMAT, name_by_content
from evergreen.values import Frozen


def outdated_records(store: ObjectStore) -> Iterator[tuple[str, int]]:
    """
    Yield the key and the format of each record that this release refuses.

    Objects that are named by their content have no format of their own: a record names them. They
    are left to retention.
    """
    for kind in layout.KINDS:
        for key in store.list(f"{kind}/"):
            if not key.endswith(".json"):
                continue
            data = store.get(key)
            if key.endswith(f"/{name_by_content(data)}.json"):
                continue
            content = json.loads(data)
            written = content.get(FORMAT_KEY, OLDEST_FORMAT) if isinstance(content, dict) else None
            if written is not None and written != Frozen.FORMAT:
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
