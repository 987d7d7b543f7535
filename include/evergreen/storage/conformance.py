"""
Ask a store what it keeps of what Evergreen relies on.

``python -m evergreen doctor <uri>``

Servers that speak S3 differ in what happens when two write at once, and some say yes and do
otherwise (FACTS, "Storage"). Everything is tried for real below a prefix of its own, which is
removed at the end.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from evergreen.errors import EvergreenError
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.s3 import BucketStore

Outcome = Literal["yes", "no"]

#: Writers at once, and how often they race: a race that is lost one time in ten is found.
WRITERS, ROUNDS = 8, 20
#: Objects of the listing; more than one page where a page is small.
LISTED = 25
BIG_BYTES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """One thing that was tried; ``message`` says what was seen, or what its absence costs."""

    name: str
    answer: Outcome
    is_needed: bool
    message: str


def examine(store: ObjectStore) -> list[Guarantee]:
    """
    Try every guarantee on *store*, and leave nothing behind.

    A question that ends in an error is answered with no; the error says why.
    """
    prefix = layout.conformance_prefix(uuid.uuid4().hex)
    try:
        return [
            _ask(test, store, f"{prefix}/{n}")
            for n, test in enumerate(TESTS)
            if isinstance(store, BucketStore) or test.try_it is not _notices_damage
        ]
    finally:
        for key in list(store.list(f"{prefix}/")):
            store.delete(key)


def is_fit(found: Sequence[Guarantee]) -> bool:
    """Return whether everything that is needed is there."""
    return all(one.answer == "yes" for one in found if one.is_needed)


@dataclass(frozen=True, kw_only=True)
class _Test:
    name: str
    is_needed: bool
    costs: str
    try_it: Callable[[ObjectStore, str], str | None]


def _ask(test: _Test, store: ObjectStore, prefix: str) -> Guarantee:
    try:
        wrong = test.try_it(store, prefix)
    except (BotoCoreError, ClientError, EvergreenError, OSError, RuntimeError, ValueError) as error:
        wrong = f"{type(error).__name__}: {error}"
    return Guarantee(
        name=test.name,
        answer="yes" if wrong is None else "no",
        is_needed=test.is_needed,
        message="" if wrong is None else f"{wrong}. {test.costs}",
    )


def _is_read_back(store: ObjectStore, prefix: str) -> str | None:
    for n in range(10):
        store.put(f"{prefix}/k", b"%d" % n)
        if store.get(f"{prefix}/k") != b"%d" % n:
            return f"write {n} was not what the next read gave"
    return None


def _says_absent(store: ObjectStore, prefix: str) -> str | None:
    with suppress(FileNotFoundError):
        store.get(f"{prefix}/none")
        return "a key that was never written was read"
    store.delete(f"{prefix}/none")
    return None if store.head(f"{prefix}/none") is None else "it has a head"


def _lists_at_once(store: ObjectStore, prefix: str) -> str | None:
    keys = [f"{prefix}/{n:03d}/x" for n in range(LISTED)]
    for key in reversed(keys):
        store.put(key, b"x")
    store.put(f"{prefix}0", b"a neighbour of the prefix")
    found = list(store.list(f"{prefix}/"))
    if found != keys:
        return f"{len(keys)} keys were written, {len(found)} listed, or in another order"
    store.delete(keys[0])
    return None if next(store.list(f"{prefix}/")) == keys[1] else "a deleted key was listed"


def _tells_changes(store: ObjectStore, prefix: str) -> str | None:
    store.put(f"{prefix}/k", b"one")
    first = store.head(f"{prefix}/k")
    store.put(f"{prefix}/k", b"two")
    second = store.head(f"{prefix}/k")
    if first is None or second is None or first.fingerprint == second.fingerprint:
        return "other bytes have the same fingerprint"
    listed = dict(store.heads(f"{prefix}/"))[f"{prefix}/k"]
    return None if listed.fingerprint == second.fingerprint else "head and listing disagree"


def _has_one_winner(store: ObjectStore, prefix: str) -> str | None:
    with ThreadPoolExecutor(WRITERS) as pool:
        for n in range(ROUNDS):
            key = f"{prefix}/{n}"
            tries = [
                pool.submit(store.put_if_absent, key, f"writer {w}".encode())
                for w in range(WRITERS)
            ]
            won = [w for w, one in enumerate(tries) if one.result()]
            if len(won) != 1:
                return f"{len(won)} of {WRITERS} writers were answered that they were first"
            if store.get(key) != f"writer {won[0]}".encode():
                return "the object is not that of the writer that was answered so"
    return None


def _keeps_the_first(store: ObjectStore, prefix: str) -> str | None:
    store.put_if_absent(f"{prefix}/k", b"one")
    if store.put_if_absent(f"{prefix}/k", b"two") or store.get(f"{prefix}/k") != b"one":
        return "the second writer replaced the first"
    return None


def _takes_big(store: ObjectStore, prefix: str) -> str | None:
    data = os.urandom(BIG_BYTES)
    store.put(f"{prefix}/k", data)
    if store.get(f"{prefix}/k") != data:
        return f"{BIG_BYTES} bytes were read back with other content"
    left = [name for name, _ in store.unfinished() if name.startswith(prefix)]
    return f"a part was left: {left[0]}" if left else None


def _first_wins_big(store: ObjectStore, prefix: str) -> str | None:
    data = os.urandom(BIG_BYTES)
    if not store.put_if_absent(f"{prefix}/k", data):
        return "the first write of a large object was refused"
    if store.put_if_absent(f"{prefix}/k", b"late") or store.get(f"{prefix}/k") != data:
        return "a large object was replaced"
    return None


def _notices_damage(store: ObjectStore, prefix: str) -> str | None:
    return store.is_blind_to_damage(f"{prefix}/k") if isinstance(store, BucketStore) else None


TESTS = (
    _Test(
        name="a write is read by whoever asks next",
        is_needed=True,
        try_it=_is_read_back,
        costs="A task would not find what the task before it wrote",
    ),
    _Test(
        name="what is absent is reported as absent",
        is_needed=True,
        try_it=_says_absent,
        costs="A missing day would look as if it had landed",
    ),
    _Test(
        name="a listing is complete, in order, and at once",
        is_needed=True,
        try_it=_lists_at_once,
        costs="The ledger would miss its newest entry",
    ),
    _Test(
        name="a fingerprint changes with the bytes",
        is_needed=True,
        try_it=_tells_changes,
        costs="A corrected day would not be read again",
    ),
    _Test(
        name="a large object arrives whole, nothing is left of its parts",
        is_needed=True,
        try_it=_takes_big,
        costs="Large examples could not be kept",
    ),
    _Test(
        name="who writes second does not replace the first",
        is_needed=True,
        try_it=_keeps_the_first,
        costs="A promotion could overwrite another",
    ),
    _Test(
        name="the same for a large object",
        is_needed=True,
        try_it=_first_wins_big,
        costs="What a night trained on could be replaced",
    ),
    _Test(
        name=f"of {WRITERS} writers at once one is first, {ROUNDS} times",
        is_needed=True,
        try_it=_has_one_winner,
        costs="Two runs could both promote; run one scheduler and max_active_runs 1, or use "
        "another store",
    ),
    _Test(
        name="bytes damaged on the way are refused",
        is_needed=False,
        try_it=_notices_damage,
        costs="Damage is noticed when the object is read, not when it is written",
    ),
)


def report(found: Sequence[Guarantee], *, uri: str) -> Iterator[Table | str]:
    """Yield what a person reads: a table, then one line that says what to make of it."""
    table = Table("guarantee", "answer", "needed", "what was seen", title=uri, title_justify="left")
    for one in found:
        colour = "green" if one.answer == "yes" else "red" if one.is_needed else "yellow"
        needed = "yes" if one.is_needed else "better so"
        table.add_row(one.name, f"[{colour}]{one.answer}[/]", needed, one.message)
    yield table
    yield (
        "This store keeps what Evergreen relies on."
        if is_fit(found)
        else "This store does not keep what Evergreen relies on: see above."
    )
