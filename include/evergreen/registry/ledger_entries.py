"""
The entries of a ledger as they are stored: numbered from 1, each with the digest of the one before.

A changed, missing or foreign entry breaks the chain of digests, so that no reader believes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from pydantic import AwareDatetime

from evergreen.errors import ArtifactError
from evergreen.spec.release import RolloutStage
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import content_digest, digest_of, find_document
from evergreen.values import Frozen

Step = Literal[
    "intent", "outcome", "abandoned", "refused", "stage", "backed_out", "stopped", "sent"
]

#: The name of an entry; whatever else lies in the folder is no entry.
_NAME = re.compile(r"\d{8}\.json")

_OUTDATED = (
    "Stop the DAGs, then run 'python -m evergreen migrate-ledger {uri}', which writes the ledgers "
    "of the release before this one in the present format."
)


class LedgerEntry(Frozen):
    """
    One step of a change of champion.

    ``intent``: it is decided and checked. ``outcome``: the alias has moved. ``abandoned``: it can
    never move, because the version is gone. ``refused``: a person rejected it; nothing changed.
    ``sent``: the version was copied to another environment; here nothing changes.

    On its way to the callers a version goes from ``stage`` to ``stage``, which model servers
    follow. It ends with an outcome, ``backed_out``: it was measured and found bad, or ``stopped``:
    it could not be measured, or something else was decided. ``as_of`` is what the version knows up
    to.

    ``run`` names the run that decided. A later try of the same run finds its decision by it.
    """

    step: Step
    action: Literal["promote", "rollback"]
    model: str
    version: str
    previous: str | None
    as_of: AwareDatetime
    serves_from: AwareDatetime
    artifact_sha256: str
    actor: str
    reason: str
    recorded_at: AwareDatetime
    stage: RolloutStage | None = None
    run: str | None = None


class WrittenEntry(Frozen):
    """
    An entry, its number, and the digests that chain it to the entry before.

    ``digest`` covers everything else; ``previous_digest`` is empty for the first entry.
    """

    FORMAT: ClassVar[int] = 3
    OUTDATED: ClassVar[str] = _OUTDATED
    REMEDY: ClassVar[str] = (
        "Restore it from a backup. Without one, delete it, every later entry and the model's "
        "ledger_checkpoints; then run the model's rollback DAG with the version that shall serve."
    )

    number: int
    previous_digest: str
    digest: str
    entry: LedgerEntry


class Checkpoint(Frozen):
    """A hundred entries in one object; they are the truth, so it may be deleted at any time."""

    FORMAT: ClassVar[int] = 3
    OUTDATED: ClassVar[str] = _OUTDATED
    REMEDY: ClassVar[str] = "Delete it: it only repeats entries, and is not needed to read them."

    entries: tuple[WrittenEntry, ...]


def written_entry(entry: LedgerEntry, *, number: int, previous_digest: str) -> WrittenEntry:
    """Return *entry* as it is stored under *number*."""
    return WrittenEntry(
        number=number,
        previous_digest=previous_digest,
        digest=_digest(entry, number=number, previous_digest=previous_digest),
        entry=entry,
    )


def _digest(entry: LedgerEntry, *, number: int, previous_digest: str) -> str:
    return digest_of(str(number), previous_digest, content_digest(entry))


def entry_keys(store: ObjectStore, model: str) -> list[str]:
    """Return the keys of the entries of *model*, oldest first; other objects are left out."""
    prefix = layout.all_of("ledger", model)
    return [key for key in store.list(prefix) if _NAME.fullmatch(key.removeprefix(prefix))]


def numbered_keys(store: ObjectStore, model: str) -> list[str]:
    """
    Return the keys of the entries 1 to n of *model*.

    :raises ArtifactError: If a number is missing.
    """
    keys = entry_keys(store, model)
    for number, key in enumerate(keys, start=1):
        expected = layout.ledger_entry(model, number)
        if key != expected:
            raise ArtifactError(
                f"{expected} is missing in {store.uri}, but {key} exists: the ledger of {model} "
                f"has a gap. Nothing was read from it. {WrittenEntry.REMEDY}"
            )
    return keys


def read_entries(
    store: ObjectStore, keys: Sequence[str], *, model: str, after: WrittenEntry | None
) -> list[WrittenEntry]:
    """
    Return the entries under *keys*, one request each.

    :param after: The entry before the first of them; None if that is entry 1.
    :raises ArtifactError: If one is gone, changed, of another model or breaks the chain.
    """
    found = list[WrittenEntry]()
    for key in keys:
        one = find_document(store, key, WrittenEntry)
        error = "is gone" if one is None else broken_link(one, after, model=model)
        if one is None or error is not None:
            raise ArtifactError(
                f"{key} in {store.uri} {error}. Nothing was read from the ledger of {model}. "
                f"{WrittenEntry.REMEDY}"
            )
        found.append(one)
        after = one
    return found


def broken_link(one: WrittenEntry, after: WrittenEntry | None, *, model: str) -> str | None:
    """Return why *one* cannot be the entry of *model* that follows *after*; None if it can."""
    number = after.number + 1 if after else 1
    if one.entry.model != model:
        return f"is an entry of model {one.entry.model}, expected {model}"
    if one.number != number:
        return f"has number {one.number}, expected {number}"
    found = _digest(one.entry, number=one.number, previous_digest=one.previous_digest)
    if found != one.digest:
        return f"was changed after it was written: its digest is {found}, expected {one.digest}"
    previous = after.digest if after else ""
    if one.previous_digest != previous:
        return (
            f"follows an entry with digest {one.previous_digest or 'none'}, but the entry before "
            f"it has {previous or 'none'}: one of the two was replaced"
        )
    return None


def read_checkpoint(
    store: ObjectStore, model: str, number: int, *, size: int, after: WrittenEntry | None
) -> list[WrittenEntry]:
    """
    Return the *size* entries up to *number* that their checkpoint repeats.

    :param after: The entry before the first of them; None if that is entry 1.
    :return: Nothing if the checkpoint is missing, damaged, incomplete or breaks the chain.
    """
    try:
        found = find_document(store, layout.ledger_checkpoint(model, number), Checkpoint)
    except ArtifactError:
        return []
    if found is None or len(found.entries) != size or not is_chain(found.entries, after, model):
        return []
    return list(found.entries)


def is_chain(entries: Iterable[WrittenEntry], after: WrittenEntry | None, model: str) -> bool:
    """Return whether *entries* follow *after* and each other."""
    for one in entries:
        if broken_link(one, after, model=model) is not None:
            return False
        after = one
    return True
