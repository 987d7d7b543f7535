"""
The append-only history of who was champion, when and why: one immutable object per entry.

Entries are numbered without gaps; a number is taken by whoever writes it first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from evergreen.storage import ObjectStore, canonical_json
from evergreen.values import Frozen


class Entry(Frozen):
    """One step of a promotion: what is about to happen (intent) or has happened (outcome)."""

    step: Literal["intent", "outcome"]
    action: Literal["promote"]
    model: str
    version: str
    previous: str | None
    as_of: datetime
    artefact_sha256: str
    actor: str
    reason: str
    recorded_at: datetime


def entries(store: ObjectStore, model: str) -> list[Entry]:
    """Return the whole ledger of *model*, oldest first."""
    return [Entry.model_validate_json(store.get(key)) for key in store.list(f"ledger/{model}/")]


def last(store: ObjectStore, model: str) -> Entry | None:
    """Return the newest entry of *model*, reading no other; None before the first promotion."""
    keys = list(store.list(f"ledger/{model}/"))
    return Entry.model_validate_json(store.get(keys[-1])) if keys else None


def append(store: ObjectStore, entry: Entry) -> None:
    """Write *entry* under the next free number."""
    number = len(list(store.list(f"ledger/{entry.model}/"))) + 1
    content = canonical_json(entry.model_dump(mode="json"))
    while not store.put_if_absent(f"ledger/{entry.model}/{number:08d}.json", content):
        number += 1


def reigns(store: ObjectStore, model: str) -> list[Entry]:
    """Return the completed promotions of *model*, oldest first."""
    return [entry for entry in entries(store, model) if entry.step == "outcome"]


def champion_at(store: ObjectStore, model: str, instant: datetime) -> Entry | None:
    """Return the newest promotion whose version had learnt nothing at or after *instant*."""
    known = [entry for entry in reigns(store, model) if entry.as_of <= instant]
    return max(known, key=lambda entry: entry.as_of, default=None)
