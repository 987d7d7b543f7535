from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from evergreen.data.parquet import from_parquet
from evergreen.storage.folder import FolderStore
from models.flight_delay import feed


@pytest.fixture
def land(tmp_path):
    store = FolderStore(tmp_path)

    def run(*days: date) -> dict[date, pd.DataFrame]:
        feed.land_days(store, list(days), replace=frozenset(days))
        return {day: from_parquet(store.get(f"raw/flights/{day}.parquet")) for day in days}

    return run


def test_days_of_2013_are_served_as_they_are(land):
    day = date(2013, 7, 1)

    rows = land(day)[day]

    assert len(rows) == 980
    assert "replay_of" not in rows
    assert rows["scheduled_departure"].min() >= pd.Timestamp("2013-07-01", tz="UTC")
    assert rows["scheduled_departure"].max() < pd.Timestamp("2013-07-02", tz="UTC")


def test_another_day_is_a_labelled_replay_of_the_same_week_and_weekday(land):
    day = date(2026, 11, 23)

    rows = land(day)[day]
    original = land(date(2013, 11, 25))[date(2013, 11, 25)]

    assert feed.day_of_2013(day) == date(2013, 11, 25)
    assert set(rows["replay_of"]) == {"2013-11-25"}
    shift = pd.Timedelta(days=(day - date(2013, 11, 25)).days)
    assert (rows["scheduled_departure"] - shift).tolist() == original[
        "scheduled_departure"
    ].tolist()
    assert rows["arr_delay"].equals(original["arr_delay"])


def test_every_day_for_years_has_a_day_of_2013_with_the_same_weekday():
    first = date(2012, 1, 1)
    days = [first + timedelta(days=n) for n in range(366 * 20)]

    found = [feed.day_of_2013(day) for day in days]

    assert all(feed.FIRST_DAY <= f <= feed.LAST_DAY for f in found)
    assert [f.weekday() for f in found] == [d.weekday() for d in days]


def test_a_landing_is_the_take_off_plus_a_plausible_flight(land):
    """Zones, midnight and summer time: gate to gate must be near the schedule for every flight."""
    for day, rows in land(date(2013, 3, 10), date(2013, 7, 1), date(2013, 11, 3)).items():
        departed = rows["scheduled_departure"] + pd.to_timedelta(rows["dep_delay"], "min")
        hours = (rows["arrived_at"] - departed).dropna() / pd.Timedelta(hours=1)

        assert hours.between(0.3, 13).all(), day


def test_landing_a_day_again_touches_nothing(tmp_path):
    store, day = FolderStore(tmp_path), date(2013, 2, 1)
    first = feed.land_days(store, [day], replace=frozenset({day}))
    before = store.head(f"raw/flights/{day}.parquet")

    again = feed.land_days(store, [day], replace=frozenset({day}))

    assert len(first) == 2
    assert again == {}
    assert store.head(f"raw/flights/{day}.parquet") == before


def test_a_day_that_is_there_stays_unless_asked(tmp_path):
    store, day = FolderStore(tmp_path), date(2013, 2, 1)
    store.put(f"raw/flights/{day}.parquet", b"someone's own")

    feed.land_days(store, [day], replace=frozenset())

    assert store.get(f"raw/flights/{day}.parquet") == b"someone's own"
