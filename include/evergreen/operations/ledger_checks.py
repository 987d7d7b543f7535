"""What check-state finds in a ledger: damaged, missing and stray entries, and wrong checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.registry import ledger as ledger_store
from evergreen.registry.ledger_entries import (
    Checkpoint,
    WrittenEntry,
    broken_link,
    entry_keys,
)
from evergreen.registry.ledger_mirror import shown_entries
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import find_document

if TYPE_CHECKING:
    from mlflow import MlflowClient


def ledger_faults(store: ObjectStore, client: MlflowClient, model: str) -> Iterator[str]:
    """Yield every object of the ledger of *model* that is damaged, missing or no entry."""
    keys = entry_keys(store, model)
    expected = [layout.ledger_entry(model, number) for number in range(1, len(keys) + 1)]
    for key in sorted(set(expected) - set(keys)):
        yield f"{key} is missing. {WrittenEntry.REMEDY}"
    for key in store.list(layout.all_of("ledger", model)):
        if key not in keys:
            yield f"{key} is no entry of the ledger; move it elsewhere"
    yield from _broken_entries(store, model, keys)
    if (shown := shown_entries(client, model)) > len(keys):
        yield (
            f"{layout.ledger_entry(model, len(keys) + 1)} is missing: MLflow shows {shown} entries "
            f"in the experiment {model}.ledger. {WrittenEntry.REMEDY}"
        )


def _broken_entries(store: ObjectStore, model: str, keys: list[str]) -> Iterator[str]:
    """Hold each entry against the one before it; after one that cannot be read, by itself alone."""
    previous: WrittenEntry | None = None
    for key in keys:
        number = int(PurePosixPath(key).stem)
        try:
            one = find_document(store, key, WrittenEntry)
        except ArtifactError as error:
            yield str(error)
            one = None
        if one is not None:
            unknown = {"number": number - 1, "digest": one.previous_digest}
            if previous is not None and previous.number != number - 1:
                previous = None
            after = previous or (one.model_copy(update=unknown) if number > 1 else None)
            if (error_text := broken_link(one, after, model=model)) is not None:
                yield f"{key} {error_text}. {WrittenEntry.REMEDY}"
            one = one.model_copy(update={"number": number})
        previous = one


def checkpoint_faults(store: ObjectStore, model: str) -> Iterator[str]:
    """Yield every checkpoint that says something else than the entries, which are the truth."""
    keys = entry_keys(store, model)
    size = ledger_store.CHECKPOINT_EVERY
    expected = {
        layout.ledger_checkpoint(model, number): keys[number - size : number]
        for number in range(size, len(keys) + 1, size)
    }
    for key in store.list(layout.all_of("ledger_checkpoints", model)):
        if key not in expected:
            yield f"{key} repeats no entries of the ledger; compare it with them, then delete it"
            continue
        if _repeated(store, key) != _entries(store, expected[key]):
            yield f"{key} differs from the entries it repeats; delete it"


def _repeated(store: ObjectStore, key: str) -> tuple[WrittenEntry | None, ...] | None:
    try:
        found = find_document(store, key, Checkpoint)
    except ArtifactError:
        return None
    return found.entries if found else None


def _entries(store: ObjectStore, keys: list[str]) -> tuple[WrittenEntry | None, ...]:
    """Return the entries under *keys*; None for each that cannot be read, which is named apart."""
    found = list[WrittenEntry | None]()
    for key in keys:
        try:
            found.append(find_document(store, key, WrittenEntry))
        except ArtifactError:
            found.append(None)
    return tuple(found)
