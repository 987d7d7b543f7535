"""What is known before scheduled departure, and nothing else."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.support.prepared import raw_days

from evergreen.data import examples
from evergreen.spec import load_spec
from models.flight_delay.prepare import PUBLISHED_AFTER, WEATHER, prepare

SPEC = load_spec("flight_delay")
INPUTS = list(SPEC.examples.features)
DAY = date(2013, 7, 1)
START = pd.Timestamp(DAY, tz="UTC")
A_MINUTE = pd.Timedelta(minutes=1)
AFTER_DEPARTURE = {"dep_delay", "arr_delay", "arrived_at", "air_time", "arr_time", "dep_time"}
#: Inputs that are made from outcomes of other flights.
FROM_OUTCOMES = [
    name for name in INPUTS if "delay" in name or "waiting" in name or "aircraft" in name
]


@pytest.fixture(scope="module")
def raw() -> dict[str, pd.DataFrame]:
    return raw_days([DAY])[DAY]


def rows_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs of *frame* by flight."""
    return frame.set_index(list(SPEC.examples.entity_key), drop=False).sort_index()[INPUTS]


def test_the_result_is_what_the_spec_says(raw):
    frame = examples.checked(prepare(raw, DAY), spec=SPEC.examples, day=DAY).frame

    assert len(frame) == (raw["flights"]["scheduled_departure"] >= START).sum() == 980
    assert AFTER_DEPARTURE & set(INPUTS) == set()


def test_a_flights_own_outcome_never_reaches_its_inputs(raw):
    """Also that of a plane that left early, which is known before its scheduled departure."""
    flights, before = raw["flights"], rows_of(prepare(raw, DAY))
    early = flights["dep_delay"] < 0
    own = flights[early & (flights["scheduled_departure"] >= START)].sample(20, random_state=0)
    for position, flight in own.iterrows():
        other = flights.copy()
        other.loc[position, ["dep_delay", "arr_delay"]] = [55.0, 77.0]
        other.loc[position, "arrived_at"] += pd.Timedelta(hours=1)
        key = tuple(flight[list(SPEC.examples.entity_key)])

        after = rows_of(prepare(raw | {"flights": other}, DAY))

        pd.testing.assert_series_equal(before.loc[key], after.loc[key])


def other_future(raw, *, cut: pd.Timestamp, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """
    Return *raw* with another future: what became known at *cut* or later is lost or different.

    Flights scheduled later are dropped, repeated or get other aircraft and airports; flights that
    had not left leave later or never, planes that had not landed land later or never.
    """
    flights, weather = raw["flights"].copy(), raw["weather"].copy()

    def some(rows: pd.Series) -> pd.Series:
        return rows & (rng.random(len(rows)) < rng.random())

    def minutes_after_cut(rows: pd.Series) -> np.ndarray:
        return rng.integers(0, 900, rows.sum()).astype("float64")

    scheduled = flights["scheduled_departure"]
    left = scheduled + flights["dep_delay"] * A_MINUTE
    in_the_air = some(~(flights["arrived_at"] < cut))
    flights.loc[in_the_air, "arr_delay"] = rng.integers(-90, 900, in_the_air.sum())
    flights.loc[in_the_air, "arrived_at"] = cut + minutes_after_cut(in_the_air) * A_MINUTE
    never_lands = some(~(flights["arrived_at"] < cut))
    flights.loc[never_lands, ["arr_delay", "arrived_at"]] = [np.nan, pd.NaT]
    waits = some(~(left < cut) | (scheduled >= cut))
    latest = np.maximum((cut - scheduled[waits]) / A_MINUTE, 0)
    flights.loc[waits, "dep_delay"] = np.ceil(latest) + minutes_after_cut(waits)
    flights.loc[some(waits), "dep_delay"] = np.nan
    later = some(scheduled > cut)
    flights.loc[later, ["tailnum", "dest"]] = (
        flights[["tailnum", "dest"]].sample(later.sum(), replace=True, random_state=1).to_numpy()
    )
    repeated = flights[some(scheduled > cut)].assign(flight=9_999)
    flights = pd.concat([flights[~some(scheduled > cut)], repeated], ignore_index=True)
    unpublished = some(weather["observed_at"] + PUBLISHED_AFTER > cut)
    weather.loc[unpublished, WEATHER] = rng.normal(size=(unpublished.sum(), len(WEATHER)))
    weather = weather[~some(weather["observed_at"] + PUBLISHED_AFTER > cut)]
    return {"flights": flights.sample(frac=1, random_state=2), "weather": weather}


#: A whole day of flights is not made smaller when one is found that fails: that takes minutes.
@settings(deadline=None, max_examples=40, phases=(Phase.reuse, Phase.generate))
@given(minute=st.integers(0, 1439), seed=st.integers(0, 10_000))
def test_what_became_known_later_changes_no_input(raw, minute, seed):
    """Property, on the real flights: another future gives the same past."""
    cut = START + minute * A_MINUTE
    other = other_future(raw, cut=cut, rng=np.random.default_rng(seed))

    before, after = (
        rows_of(f[f["event_time"] <= cut]) for f in (prepare(raw, DAY), prepare(other, DAY))
    )

    pd.testing.assert_frame_equal(before, after, check_exact=True)


#: A flight: minute of its schedule, airport and aircraft and destination by number, delay at
#: departure, minutes in the air, delay at arrival.
FLIGHT = st.tuples(
    st.integers(0, 2879),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(0, 1),
    st.none() | st.integers(-20, 400),
    st.integers(30, 600),
    st.none() | st.integers(-60, 400),
)


def made(flights: list[tuple]) -> dict[str, pd.DataFrame]:
    """Return two days of *flights*, with one observation of the weather."""
    columns = ["at", "airport", "aircraft", "to", "dep_delay", "air", "arr_delay"]
    rows = pd.DataFrame(flights, columns=columns).astype(
        {"dep_delay": "float64", "arr_delay": "float64"}
    )
    scheduled = START - timedelta(days=1) + rows["at"] * A_MINUTE
    arrived = scheduled + (rows["dep_delay"] + rows["air"]) * A_MINUTE
    frame = pd.DataFrame(
        {
            "carrier": np.where(rows["aircraft"] < 2, "AA", "UA"),
            "flight": range(1, len(rows) + 1),
            "tailnum": rows["aircraft"].map({0: "N1", 1: "N2", 2: "N3"}),  # none for the fourth
            "origin": rows["airport"].map({0: "EWR", 1: "JFK", 2: "LGA"}),
            "dest": rows["to"].map({0: "BOS", 1: "MIA"}),
            "distance": 500,
            "hour": 1,
            "minute": 1,
            "local_weekday": 1,
            "dep_delay": rows["dep_delay"],
            "arr_delay": rows["arr_delay"].where(rows["dep_delay"].notna()),
            "scheduled_departure": scheduled.astype("datetime64[us, UTC]"),
            "scheduled_arrival": (scheduled + rows["air"] * A_MINUTE).astype("datetime64[us, UTC]"),
            "arrived_at": arrived.where(rows["arr_delay"].notna()).astype("datetime64[us, UTC]"),
        }
    )
    weather = pd.DataFrame(
        {name: [1.0] for name in WEATHER} | {"origin": ["EWR"], "observed_at": [START]}
    )
    return {"flights": frame, "weather": weather}


@settings(deadline=None, max_examples=60)
@given(
    flights=st.lists(FLIGHT, min_size=1, max_size=40),
    minute=st.integers(0, 1439),
    seed=st.integers(0, 99),
)
def test_the_same_holds_for_flights_that_were_made_up(flights, minute, seed):
    raw, cut = made(flights), START + minute * A_MINUTE
    other = other_future(raw, cut=cut, rng=np.random.default_rng(seed))

    before, after = (
        rows_of(f[f["event_time"] <= cut]) for f in (prepare(raw, DAY), prepare(other, DAY))
    )

    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_what_was_known_before_does_change_inputs(raw):
    """The property above would hold for inputs that look at nothing."""
    cut = START + pd.Timedelta(hours=18)
    flights = raw["flights"]
    earlier = flights["scheduled_departure"] < cut
    other = flights.assign(
        dep_delay=flights["dep_delay"] + 30 * earlier, arr_delay=flights["arr_delay"] + 30 * earlier
    )
    later = prepare(raw, DAY)["event_time"] >= cut

    before, after = (prepare(raw | {"flights": f}, DAY)[later] for f in (flights, other))

    moved = {name for name in INPUTS if not before[name].equals(after[name])}
    assert moved == set(FROM_OUTCOMES)


def expected(flights: pd.DataFrame, row: pd.Series) -> dict[str, float]:
    """Return inputs of *row* by looking at each flight in turn."""
    now = row["scheduled_departure"]

    def minutes(instant) -> float:
        return (now - instant) / A_MINUTE

    late, here, landed_there, aircraft = [], [], [], []
    for _, other in flights[flights["scheduled_departure"] < now].iterrows():
        waits = minutes(other["scheduled_departure"])
        has_left = other["dep_delay"] < waits
        since = waits - max(other["dep_delay"], 0.0) if has_left else np.nan
        if not has_left and waits <= 240:
            late.append(waits)
            here += [waits] if other["origin"] == row["origin"] else []
        if since <= 120 and other["origin"] == row["origin"]:
            here.append(other["dep_delay"])
        if other["arrived_at"] < now:
            if minutes(other["arrived_at"]) <= 360 and other["dest"] == row["dest"]:
                landed_there.append(other["arr_delay"])
            if other["tailnum"] == row["tailnum"]:
                aircraft.append((other["arrived_at"], other["arr_delay"]))
    recent = [a for a in aircraft if minutes(a[0]) <= 36 * 60]
    newest = max((at for at, _ in recent), default=None)
    return {
        "flights_waiting": len(late),
        "airport_delay": np.mean(here) if here else np.nan,
        "dest_arrival_delay": np.mean(landed_there) if landed_there else np.nan,
        "aircraft_delay": [delay for at, delay in recent if at == newest],
    }


@settings(deadline=None, max_examples=60)
@given(flights=st.lists(FLIGHT, min_size=1, max_size=25))
def test_inputs_are_what_looking_at_each_flight_gives(flights):
    raw = made(flights)
    frame = prepare(raw, DAY)

    for _, row in frame.merge(raw["flights"][["flight", "tailnum"]], on="flight").iterrows():
        wanted = expected(raw["flights"], row)
        newest = wanted.pop("aircraft_delay")
        assert row[list(wanted)].tolist() == pytest.approx(list(wanted.values()), nan_ok=True)
        # Of two planes of one number that land in one minute either may be the newest.
        assert row["aircraft_delay"] in newest if newest else np.isnan(row["aircraft_delay"])


def test_the_first_flights_of_a_day_know_the_day_before(raw):
    frame = prepare(raw, DAY)
    first_hour = frame["event_time"] < START + pd.Timedelta(hours=1)

    assert first_hour.any()
    assert frame[first_hour][["temp", "last_day_delay", "airport_delay"]].notna().all(axis=None)


def test_late_means_more_than_fifteen_minutes(raw):
    key = list(SPEC.examples.entity_key)
    flights = raw["flights"][raw["flights"]["scheduled_departure"] >= START].sort_values(key)
    frame = prepare(raw, DAY).sort_values(key)
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
