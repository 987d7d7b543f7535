"""What is known at scheduled departure, and nothing else."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from evergreen.data import examples
from evergreen.data.parquet import from_parquet
from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore
from models.flight_delay import feed
from models.flight_delay.prepare import WEATHER, prepare

DAY = date(2013, 7, 1)
AFTER_DEPARTURE = {"dep_delay", "arr_delay", "arrived_at", "air_time", "arr_time", "dep_time"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> dict[str, pd.DataFrame]:
    store = FolderStore(tmp_path_factory.mktemp("raw"))
    feed.land_days(store, [date(2013, 6, 30), DAY], replace=frozenset())
    weather = [from_parquet(store.get(f"raw/weather/2013-0{d}.parquet")) for d in ("6-30", "7-01")]
    flights = from_parquet(store.get(f"raw/flights/{DAY}.parquet"))
    return {"flights": flights, "weather": pd.concat(weather, ignore_index=True)}


def test_the_result_is_what_the_spec_says(raw):
    spec = load_spec("flight_delay").examples

    frame = examples.checked(prepare(raw, DAY), spec=spec, day=DAY)

    assert len(frame) == len(raw["flights"])
    assert AFTER_DEPARTURE & set(spec.features) == set()


def test_nothing_after_departure_reaches_an_input(raw):
    """Whatever happens to a flight later, its inputs stay the same."""
    inputs = list(load_spec("flight_delay").examples.features)
    other = raw["flights"].assign(dep_delay=999.0, arr_delay=-999.0, arrived_at=pd.NaT, tailnum="X")

    changed = prepare(raw | {"flights": other}, DAY)

    pd.testing.assert_frame_equal(changed[inputs], prepare(raw, DAY)[inputs])


def test_weather_is_what_was_published_before_departure(raw):
    """An observation is published within the hour after it; one from later must change nothing."""
    noon = pd.Timestamp("2013-07-01T12:00Z")
    late = raw["weather"]["observed_at"] + pd.Timedelta(hours=1) > noon
    other = raw["weather"].assign(temp=raw["weather"]["temp"].mask(late, 1000.0))

    before, after = prepare(raw, DAY), prepare(raw | {"weather": other}, DAY)

    early = before["event_time"] < noon
    assert early.any()
    pd.testing.assert_frame_equal(before[early][WEATHER], after[early][WEATHER])
    assert (after[~early]["temp"] == 1000.0).any()


def test_the_first_flights_of_a_day_know_the_evening_before(raw):
    frame = prepare(raw, DAY)
    first_hour = frame["event_time"] < pd.Timestamp("2013-07-01T01:00Z")

    assert frame[first_hour]["temp"].notna().all()


def test_late_means_more_than_fifteen_minutes(raw):
    frame = prepare(raw, DAY).sort_values(["carrier", "flight", "origin", "scheduled_departure"])
    flights = raw["flights"].sort_values(["carrier", "flight", "origin", "scheduled_departure"])
    landed = flights["arr_delay"].notna().to_numpy()

    found = frame["is_late"].to_numpy()

    assert pd.isna(found[~landed]).all()
    assert (~landed).any()
    assert (found[landed].astype(bool) == (flights["arr_delay"].to_numpy()[landed] > 15)).all()


def test_the_label_is_known_when_the_plane_has_landed(raw):
    frame = prepare(raw, DAY)

    known = frame["known_at"].notna()
    assert (known == frame["is_late"].notna()).all()
    assert (frame["known_at"] > frame["event_time"])[known].all()
