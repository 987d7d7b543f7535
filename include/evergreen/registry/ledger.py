"""
The append-only history of champions: which version, when, why, and who approved it.

One immutable object per entry, numbered without gaps. A number belongs to whoever writes it first,
so the ledger is also the lock of the champion alias: an *intent* is a decision that anybody may
finish, its *outcome* says that it is done.

Each entry has the digest of the one before it, so that a damaged ledger is refused, not believed.
Every hundred entries are kept once more in one object, a checkpoint, so that a long ledger is read
in few requests. It only repeats them: without it, they are read one by one.

Two clocks run through it. ``recorded_at`` is when an entry was written. ``serves_from`` is when its
version starts to serve in the time of the runs: a replayed night of last June promotes in June.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from evergreen.errors import ArtifactError
from evergreen.registry.ledger_entries import (
    Checkpoint,
    LedgerEntry,
    Step,
    WrittenEntry,
    entry_keys,
    numbered_keys,
    read_checkpoint,
    read_entries,
    written_entry,
)
from evergreen.spec.release import RolloutStage
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import document_bytes

#: Entries in a checkpoint.
CHECKPOINT_EVERY = 100

#: Others may write at the same time; each time it is read again, up to this often.
MAX_TRIES = 20

__all__ = [
    "Ledger",
    "LedgerConflictError",
    "LedgerEntry",
    "Rollout",
    "Step",
    "append",
    "append_once",
    "changed_meanwhile",
    "is_newest",
    "read_again",
    "read_ledger",
]


class LedgerConflictError(Exception):
    """Somebody else wrote the next number first: read again, decide again."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A stage that is under way; its number in the ledger names it everywhere."""

    number: int
    entry: LedgerEntry
    stage: RolloutStage


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The whole ledger of one model, oldest entry first, as it was when it was read."""

    model: str
    written: tuple[WrittenEntry, ...]

    @cached_property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """The entries without their numbers and digests."""
        return tuple(one.entry for one in self.written)

    @property
    def pending(self) -> LedgerEntry | None:
        """The decision that is not finished yet."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.step == "intent" else None

    @cached_property
    def outcomes(self) -> tuple[LedgerEntry, ...]:
        """Every change that happened, in the order in which it happened."""
        return tuple(entry for entry in self.entries if entry.step == "outcome")

    @property
    def champion(self) -> LedgerEntry | None:
        """The change that put the present champion in place."""
        return self.outcomes[-1] if self.outcomes else None

    @cached_property
    def active_champions(self) -> tuple[LedgerEntry, ...]:
        """The champions that were not rolled back, oldest first; the last one serves."""
        return _active_champions(self.outcomes)

    @property
    def latest_as_of(self) -> datetime | None:
        """
        The newest instant any champion has learnt up to, withdrawn ones included.

        What a run older than this produces is history and never serves by itself.
        """
        return max((entry.as_of for entry in self.outcomes), default=None)

    @property
    def rollout(self) -> Rollout | None:
        """The stage of the version that is on its way to the callers, or None."""
        for number, entry in reversed(list(enumerate(self.entries, start=1))):
            if entry.step == "stage" and entry.stage is not None:
                return Rollout(number=number, entry=entry, stage=entry.stage)
            if entry.step not in ("refused", "intent", "sent"):
                return None
        return None

    def is_backed_out(self, version: str) -> bool:
        """Return whether *version* was measured on its way to the callers, and found bad."""
        return any(e.version == version and e.step == "backed_out" for e in self.entries)

    def decision_of(self, run: str | None) -> LedgerEntry | None:
        """
        Return the newest step of the change of champion that *run* decided, or None.

        An intent that was closed is found by its outcome. A run without a name decides anew.
        """
        steps = ("intent", "outcome", "abandoned")
        found = (e for e in reversed(self.entries) if e.run == run and e.step in steps)
        return next(found, None) if run is not None else None

    def has_served(self, version: str) -> bool:
        """Return whether *version* was ever champion."""
        return any(entry.version == version for entry in self.outcomes)

    def is_withdrawn(self, version: str) -> bool:
        """Return whether *version* served and a rollback went back on it."""
        return self.has_served(version) and version not in {
            e.version for e in self.active_champions
        }

    def champion_at(self, instant: datetime) -> LedgerEntry | None:
        """Return what served at *instant* of the runs' time, or None before the first champion."""
        known = _active_champions([e for e in self.outcomes if e.serves_from <= instant])
        return known[-1] if known else None

    def scorer_of(self, day_start: datetime, *, as_of: datetime) -> LedgerEntry | None:
        """
        Return what may score the day that begins at *day_start*, for a run that lives at *as_of*.

        The newest champion known at *as_of* that was not rolled back by then and that had
        learnt nothing at or after *day_start*.
        """
        known = _active_champions([e for e in self.outcomes if e.serves_from <= as_of])
        return next((e for e in reversed(known) if e.as_of <= day_start), None)

    def rollback_target(self) -> LedgerEntry | None:
        """Return the last champion before the present one, or None if there is none."""
        now = self.champion
        earlier = (e for e in reversed(self.active_champions) if now and e.version != now.version)
        return next(earlier, None)


def read_ledger(store: ObjectStore, model: str) -> Ledger:
    """
    Return the ledger of *model*.

    Checkpoints are used where they are whole and their chain of digests goes on in the entries
    after them; otherwise every entry is read.

    :raises ArtifactError: If an entry is missing, damaged, of another model or was replaced.
    """
    keys = numbered_keys(store, model)
    try:
        found = _read(store, model, keys, use_checkpoints=True)
    except ArtifactError:
        if len(keys) < CHECKPOINT_EVERY:
            raise
        found = _read(store, model, keys, use_checkpoints=False)
    return Ledger(model=model, written=tuple(found))


def _read(
    store: ObjectStore, model: str, keys: list[str], *, use_checkpoints: bool
) -> list[WrittenEntry]:
    found = list[WrittenEntry]()
    size = CHECKPOINT_EVERY
    for start in range(0, len(keys), size):
        part, after = keys[start : start + size], found[-1] if found else None
        repeated = (
            read_checkpoint(store, model, start + size, size=size, after=after)
            if use_checkpoints and len(part) == size
            else []
        )
        found += repeated or read_entries(store, part, model=model, after=after)
    return found


def is_newest(store: ObjectStore, ledger: Ledger) -> bool:
    """Return whether nothing was written since *ledger* was read."""
    return len(entry_keys(store, ledger.model)) == len(ledger.written)


def read_again(store: ObjectStore, model: str, known: Ledger | None) -> Ledger:
    """Return the ledger of *model*: *known* itself if nothing was written since it was read."""
    return known if known is not None and is_newest(store, known) else read_ledger(store, model)


def append(store: ObjectStore, ledger: Ledger, entry: LedgerEntry) -> Ledger:
    """
    Return *ledger* with *entry* written under the next number.

    :raises LedgerConflictError: If somebody wrote that number since *ledger* was read.
    :raises ArtifactError: If the number is taken by something that is no entry.
    """
    last = ledger.written[-1] if ledger.written else None
    new = written_entry(
        entry, number=len(ledger.written) + 1, previous_digest=last.digest if last else ""
    )
    key = layout.ledger_entry(entry.model, new.number)
    if not store.put_if_absent(key, document_bytes(new)):
        if is_newest(store, ledger):
            raise ArtifactError(
                f"{key} in {store.uri} exists, but is no entry of the ledger, so entry "
                f"{new.number} of {entry.model} cannot be written. Nothing was changed. Remove "
                "what lies there, and clear the task."
            )
        raise LedgerConflictError(key)
    longer = Ledger(model=ledger.model, written=(*ledger.written, new))
    _keep_checkpoint(store, longer)
    return longer


def _keep_checkpoint(store: ObjectStore, ledger: Ledger) -> None:
    """Keep the newest full checkpoint, which whoever wrote its last entry may have died before."""
    number = len(ledger.written) - len(ledger.written) % CHECKPOINT_EVERY
    if number:
        repeated = Checkpoint(entries=ledger.written[number - CHECKPOINT_EVERY : number])
        key = layout.ledger_checkpoint(ledger.model, number)
        store.put_if_absent(key, document_bytes(repeated))


def append_once(store: ObjectStore, entry: LedgerEntry) -> Ledger:
    """
    Append *entry* unless the ledger says the same already, whoever else writes meanwhile.

    :raises RuntimeError: If a move is under way, or others write all the time; it is worth another
        try.
    :raises ArtifactError: If the ledger cannot be read or written.
    """
    same = {"step", "version", "actor", "reason"}
    wanted = entry.model_dump(include=same)
    for _ in range(MAX_TRIES):
        ledger = read_ledger(store, entry.model)
        if any(one.model_dump(include=same) == wanted for one in ledger.entries):
            return ledger
        if ledger.pending is not None:
            raise RuntimeError(
                f"A move of {entry.model} is under way, so that version {entry.version} was "
                f"{entry.step} was not written down yet. This task will try again."
            )
        try:
            return append(store, ledger, entry)
        except LedgerConflictError:
            continue
    raise changed_meanwhile(entry.model)


def changed_meanwhile(model: str) -> RuntimeError:
    """Return the error of a writer that others were faster than each time; worth another try."""
    return RuntimeError(
        f"The ledger of {model} changed {MAX_TRIES} times while this task was writing to it. "
        "Nothing was written; this task will try again."
    )


def _active_champions(
    outcomes: tuple[LedgerEntry, ...] | list[LedgerEntry],
) -> tuple[LedgerEntry, ...]:
    """Replay *outcomes*: a promotion adds a champion, a rollback drops all later ones."""
    found: list[LedgerEntry] = []
    for entry in outcomes:
        if entry.action == "rollback":
            versions = [e.version for e in found]
            if entry.version in versions:
                last = len(versions) - 1 - versions[::-1].index(entry.version)
                del found[last + 1 :]
            else:
                found.append(entry)
        else:
            found.append(entry)
    return tuple(found)
