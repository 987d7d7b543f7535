"""Write the ledgers of format 2, whose entries had no digests, in the present format."""

from __future__ import annotations

from evergreen.errors import ArtifactError
from evergreen.registry.ledger_entries import (
    LedgerEntry,
    WrittenEntry,
    broken_link,
    numbered_keys,
    written_entry,
)
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document


def migrate_ledgers(store: ObjectStore) -> list[str]:
    """
    Write each ledger entry of format 2 in the present format; nothing else may write meanwhile.

    All entries of a model are read before the first is written. Safe to repeat: after a crash the
    next call goes on.

    :return: The keys of the entries that were written.
    :raises ArtifactError: If an entry is missing or damaged; nothing of that model is written then.
    """
    keys = store.list(layout.all_of("ledger"))
    models = {key.split("/")[1] for key in keys if key.count("/") > 1}
    return [key for model in sorted(models) for key in _migrate(store, model)]


def _migrate(store: ObjectStore, model: str) -> list[str]:
    keys = numbered_keys(store, model)
    found = [_read(store, key) for key in keys]
    changed = dict[str, WrittenEntry]()
    after: WrittenEntry | None = None
    for number, (key, old) in enumerate(zip(keys, found, strict=True), start=1):
        if isinstance(old, LedgerEntry):
            digest = after.digest if after else ""
            one = changed[key] = written_entry(old, number=number, previous_digest=digest)
        else:
            one = old
        if (error := broken_link(one, after, model=model)) is not None:
            raise ArtifactError(f"{key} in {store.uri} {error}. {WrittenEntry.REMEDY}")
        after = one
    if changed:
        for key in list(store.list(layout.all_of("ledger_checkpoints", model))):
            store.delete(key)
    for key, one in changed.items():
        put_document(store, key, one)
    return list(changed)


def _read(store: ObjectStore, key: str) -> LedgerEntry | WrittenEntry:
    try:
        return load_document(store, key, WrittenEntry)
    except ArtifactError:
        return load_document(store, key, LedgerEntry)
