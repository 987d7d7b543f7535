"""Who served when, from entries alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.registry import ledger as ledger_store
from evergreen.registry.ledger import Ledger, LedgerConflictError, LedgerEntry
from evergreen.registry.ledger_entries import Checkpoint, WrittenEntry, written_entry
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import load_document

DAY = datetime(2013, 7, 1, tzinfo=UTC)


def on(day: int) -> datetime:
    return DAY + timedelta(days=day)


def entry(version: int, day: int, *, action="promote", at: int | None = None, step="outcome"):
    return LedgerEntry(
        step=step,
        action=action,
        model="m",
        version=str(version),
        previous=None,
        as_of=on(day),
        serves_from=on(day if at is None else at),
        artifact_sha256="0" * 64,
        actor="test",
        reason="",
        recorded_at=on(day),
    )


def chain(*entries: LedgerEntry) -> tuple[WrittenEntry, ...]:
    found: list[WrittenEntry] = []
    for number, one in enumerate(entries, start=1):
        digest = found[-1].digest if found else ""
        found.append(written_entry(one, number=number, previous_digest=digest))
    return tuple(found)


def ledger(*entries: LedgerEntry) -> Ledger:
    return Ledger(model="m", written=chain(*entries))


#: v1 promoted, v2 lost and is nowhere here, v3 promoted, then back to v1 on day 8.
ROLLED_BACK = ledger(entry(1, 1), entry(3, 3), entry(1, 1, action="rollback", at=8))


def test_an_empty_ledger_has_no_champion():
    assert ledger().champion is None
    assert ledger().latest_as_of is None
    assert ledger().champion_at(on(9)) is None
    assert ledger().rollback_target() is None


def test_the_way_back_is_the_last_champion_not_the_last_number():
    target = ledger(entry(1, 1), entry(3, 3)).rollback_target()

    assert target is not None
    assert target.version == "1"


def test_after_a_rollback_the_withdrawn_version_is_no_way_back():
    assert ROLLED_BACK.champion.version == "1"
    assert ROLLED_BACK.rollback_target() is None
    assert ROLLED_BACK.is_withdrawn("3")
    assert not ROLLED_BACK.is_withdrawn("1")


def test_a_withdrawn_version_can_be_put_back():
    again = ledger(*ROLLED_BACK.entries, entry(3, 3, action="rollback", at=9))

    assert again.champion.version == "3"
    assert not again.is_withdrawn("3")
    assert again.rollback_target().version == "1"


def test_what_was_learnt_once_stays_the_horizon():
    """After a rollback a replay of day 2 is still history: day 3 was lived already."""
    assert ROLLED_BACK.latest_as_of == on(3)


@pytest.mark.parametrize(
    ("day", "version"), [(0, None), (1, "1"), (2, "1"), (3, "3"), (7, "3"), (8, "1"), (30, "1")]
)
def test_who_was_champion_at_a_day(day, version):
    found = ROLLED_BACK.champion_at(on(day))

    assert (found.version if found else None) == version


def test_a_day_is_scored_by_what_had_learnt_nothing_of_it():
    two = ledger(entry(1, 1), entry(3, 3))

    assert two.scorer_of(on(2), as_of=on(3)).version == "1"
    assert two.scorer_of(on(3), as_of=on(4)).version == "3"
    assert two.scorer_of(on(0), as_of=on(4)) is None


def test_after_a_rollback_the_withdrawn_version_scores_no_new_day():
    assert ROLLED_BACK.scorer_of(on(7), as_of=on(8)).version == "1"


def test_a_replay_of_a_day_before_the_rollback_gives_what_served_then():
    assert ROLLED_BACK.scorer_of(on(6), as_of=on(7)).version == "3"


def test_an_intent_is_no_change_yet():
    open_one = ledger(entry(1, 1), entry(3, 3, step="intent"))

    assert open_one.champion.version == "1"
    assert open_one.pending.version == "3"


def test_the_number_belongs_to_the_first(tmp_path):
    store = FolderStore(tmp_path)
    empty = ledger_store.read_ledger(store, "m")

    first = ledger_store.append(store, empty, entry(1, 1))

    with pytest.raises(LedgerConflictError):
        ledger_store.append(store, empty, entry(2, 2))
    assert ledger_store.read_ledger(store, "m") == first
    assert ledger_store.is_newest(store, first)
    assert not ledger_store.is_newest(store, empty)


class MonitorReceipt(FolderStore):
    """Remembers what was read."""

    def get(self, key: str) -> bytes:
        self.seen.append(key)
        return super().get(key)


@pytest.fixture
def long(tmp_path, monkeypatch) -> MonitorReceipt:
    """Seven entries, three to a checkpoint."""
    monkeypatch.setattr(ledger_store, "CHECKPOINT_EVERY", 3)
    store = MonitorReceipt(tmp_path)
    store.seen = []
    for n in range(1, 8):
        ledger_store.append(store, ledger_store.read_ledger(store, "m"), entry(n, n))
    store.seen.clear()
    return store


def test_a_long_ledger_is_read_in_few_requests(long):
    found = ledger_store.read_ledger(long, "m")

    assert found.entries == tuple(entry(n, n) for n in range(1, 8))
    assert long.seen == [
        "ledger_checkpoints/m/00000003.json",
        "ledger_checkpoints/m/00000006.json",
        "ledger/m/00000007.json",
    ]


@pytest.mark.parametrize("content", [None, b"{"])
def test_a_checkpoint_that_is_of_no_use_is_done_without(long, content):
    place = "ledger_checkpoints/m/00000006.json"
    long.delete(place)
    if content is not None:
        long.put(place, content)

    assert [e.version for e in ledger_store.read_ledger(long, "m").entries] == list("1234567")


def test_a_checkpoint_that_a_crash_left_out_is_made_by_the_next_entry(long):
    long.delete("ledger_checkpoints/m/00000006.json")

    ledger_store.append(long, ledger_store.read_ledger(long, "m"), entry(8, 8))

    repeated = load_document(long, "ledger_checkpoints/m/00000006.json", Checkpoint).entries
    assert repeated == ledger_store.read_ledger(long, "m").written[3:6]


moves = st.lists(st.tuples(st.booleans(), st.integers(1, 6)), max_size=12)


@given(moves=moves, instant=st.integers(0, 14))
def test_the_champion_is_always_one_that_was_put_in_place(moves, instant):
    """Property, over any order of promotions and rollbacks: what is asked never comes from nowhere,
    and nothing scores a day it has learnt from."""
    entries = [
        entry(version, day, action="promote" if is_promotion else "rollback", at=day)
        for day, (is_promotion, version) in enumerate(moves)
    ]
    found = ledger(*entries)

    assert (found.champion is None) == (not entries)
    if entries:
        assert found.active_champions[-1].version == found.champion.version == entries[-1].version
    scorer = found.scorer_of(on(instant), as_of=on(instant + 1))
    if scorer is not None:
        assert scorer.as_of <= on(instant)
        assert scorer.serves_from <= on(instant + 1)
