"""From raw flights and weather to examples: what was known before scheduled departure."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

#: A flight is late if it arrives more than this after its scheduled arrival.
LATE_MINUTES = 15
#: An hourly observation is published within the hour that follows it.
PUBLISHED_AFTER = pd.Timedelta(hours=1)
#: Weather older than this at departure says nothing; the inputs are then null.
WEATHER_AGE = pd.Timedelta(hours=6)
WEATHER = ["temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]

A_MINUTE = pd.Timedelta(minutes=1)
#: Departures of so many minutes make a mean delay, and arrivals of so many.
DEPARTED_WITHIN, LANDED_WITHIN, LANDED_WITHIN_A_DAY = 120.0, 360.0, 1440.0
#: A flight that has not left so many minutes after its schedule no longer counts as waiting.
WAITS_AT_MOST = 240.0
#: The last flight of an aircraft, or of a flight number, is looked up so many minutes back.
REMEMBERED = 36 * 60.0
#: More minutes than there are in two days: keeps groups apart on one axis of sorted keys.
SPAN = 1e6


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """
    Return one row per flight scheduled to leave on *day* (UTC).

    Inputs are the flight's schedule, the weather published before it, and what was known of other
    flights before its scheduled departure. The label is known when the plane has landed; a
    cancelled or diverted flight has none.

    :param raw: ``flights`` and ``weather``, both of *day* and the day before.
    """
    flights = raw["flights"].reset_index(drop=True)
    landed = flights["arr_delay"].notna() & flights["arrived_at"].notna()
    late = (flights["arr_delay"] > LATE_MINUTES).astype("boolean").mask(~landed)
    planned = (flights["scheduled_arrival"] - flights["scheduled_departure"]) / A_MINUTE
    examples = flights[
        ["carrier", "flight", "origin", "dest", "distance", "hour", "minute"]
    ].assign(
        scheduled_departure=flights["scheduled_departure"],
        event_time=flights["scheduled_departure"],
        known_at=flights["arrived_at"].where(landed),
        is_late=late,
        weekday=flights["local_weekday"],
        planned_speed=flights["distance"] / planned.where(planned > 0),
        **_earlier_flights(Board(flights), flights),
    )
    start = pd.Timestamp(day, tz="UTC")
    is_of_day = examples["event_time"].between(
        start, start + pd.Timedelta(days=1), inclusive="left"
    )
    return _with_weather(examples[is_of_day], raw["weather"])


class Board:
    """
    The flights as whole minutes, shape ``(flights,)`` each; NaN where there is nothing yet.

    ``left`` and ``landed`` say when a delay at departure or arrival became known. A plane that
    leaves early counts as leaving on time, so that no flight is known before its own schedule.
    """

    def __init__(self, flights: pd.DataFrame) -> None:
        """Take the flights of two days."""
        first = flights["scheduled_departure"].min()

        def minutes(name: str) -> Numbers:
            return ((flights[name] - first) / A_MINUTE).round().to_numpy(dtype="float64")

        self.departure_delay = flights["dep_delay"].round().to_numpy(dtype="float64")
        self.arrival_delay = flights["arr_delay"].round().to_numpy(dtype="float64")
        self.scheduled = minutes("scheduled_departure")
        self.planned = minutes("scheduled_arrival") - self.scheduled
        self.departed = self.scheduled + self.departure_delay
        self.left = np.maximum(self.departed, self.scheduled)
        self.landed = np.where(np.isnan(self.arrival_delay), np.nan, minutes("arrived_at"))

    def waiting(self, group: Numbers) -> tuple[Numbers, Numbers]:
        """
        Return how many flights of each row's group should have left and have not, and since when.

        A cancelled flight counts like one that leaves later: which of them it is, is not known yet.

        :return: Number of flights, and the sum of the minutes they are late so far.
        """
        now = self.scheduled
        gone = np.fmin(self.left, now + WAITS_AT_MOST)
        due = Facts(group, known=now, value=now).before(group, now)
        out = Facts(group, known=gone, value=now).before(group, now)
        number = due[0] - out[0]
        return number, number * now - (due[1] - out[1])

    def delay_so_far(self, group: Numbers) -> Numbers:
        """Return the mean delay of flights that left lately or wait, in minutes; NaN if none."""
        left = Facts(group, known=self.left, value=self.departure_delay)
        number, minutes = left.within(group, self.scheduled, DEPARTED_WITHIN)
        waiting, late_by = self.waiting(group)
        return _mean(number + waiting, minutes + late_by)

    def arrival_delay_within(self, group: Numbers, minutes: float) -> Numbers:
        """Return the mean delay of flights that landed in the last *minutes*; NaN if none did."""
        landed = Facts(group, known=self.landed, value=self.arrival_delay)
        return _mean(*landed.within(group, self.scheduled, minutes))

    def last(self, group: Numbers, *, known: Numbers, value: Numbers) -> Numbers:
        """Return the newest *value* of each row's group that was *known*; NaN if long ago."""
        return Facts(group, known=known, value=value).newest(group, self.scheduled, REMEMBERED)


class Facts:
    """
    Whole numbers about groups of flights, and the minute in which each became known.

    Questions are answered by what was known before a minute, for each row its own. Sums are
    differences of running sums over all facts, which are exact for whole numbers: no later fact can
    reach an answer by rounding.
    """

    def __init__(self, group: Numbers, *, known: Numbers, value: Numbers) -> None:
        """Keep the facts that have a group, a minute and a value; shape ``(facts,)`` each."""
        usable = ~np.isnan(group + value) & (known >= 0) & (known < SPAN / 2)
        keys = group[usable] * SPAN + known[usable]
        order = np.argsort(keys, kind="stable")
        self.keys, self.values = keys[order], value[usable][order]
        self.sums = np.concatenate([[0.0], np.cumsum(self.values)])

    def before(self, group: Numbers, minute: Numbers) -> tuple[Numbers, Numbers]:
        """Return number and sum of the facts about *group* known before *minute*."""
        first, end = (self._position(group, at) for at in (np.zeros_like(minute), minute))
        return (end - first).astype("float64"), self.sums[end] - self.sums[first]

    def within(self, group: Numbers, minute: Numbers, length: float) -> tuple[Numbers, Numbers]:
        """Return number and sum of the facts that became known in *length* before *minute*."""
        first, end = (self._position(group, at) for at in (minute - length, minute))
        return (end - first).astype("float64"), self.sums[end] - self.sums[first]

    def newest(self, group: Numbers, minute: Numbers, length: float) -> Numbers:
        """Return the value of the newest such fact; NaN if there is none."""
        first, end = (self._position(group, at) for at in (minute - length, minute))
        values = np.append(self.values, np.nan)
        return np.where(end > first, values[np.maximum(end, 1) - 1], np.nan)

    def _position(self, group: Numbers, minute: Numbers) -> NDArray[np.intp]:
        return np.searchsorted(self.keys, group * SPAN + minute, side="left")


def _earlier_flights(board: Board, flights: pd.DataFrame) -> dict[str, Numbers]:
    """Return what was known of other flights before each one's scheduled departure."""
    everywhere = np.zeros(len(flights))
    airport, at_dest = _groups(flights, "origin"), _groups(flights, "dest")
    carrier_here, aircraft = _groups(flights, "origin", "carrier"), _groups(flights, "tailnum")
    return {
        "flights_waiting": board.waiting(everywhere)[0],
        "airport_waiting": board.waiting(airport)[0],
        "airport_delay": board.delay_so_far(airport),
        "carrier_delay": board.delay_so_far(carrier_here),
        "dest_arrival_delay": board.arrival_delay_within(at_dest, LANDED_WITHIN),
        "last_day_delay": board.arrival_delay_within(everywhere, LANDED_WITHIN_A_DAY),
        "dest_last_day_delay": board.arrival_delay_within(at_dest, LANDED_WITHIN_A_DAY),
        "same_flight_delay": board.last(
            _groups(flights, "carrier", "flight", "origin"),
            known=board.landed,
            value=board.arrival_delay,
        ),
        **_aircraft(board, aircraft),
    }


def _aircraft(board: Board, aircraft: Numbers) -> dict[str, Numbers]:
    """
    Return what was known of the last flight of each flight's aircraft.

    Flights to New York are not in the data. ``aircraft_slack``: minutes left on the ground if the
    plane flew back at once, as long as it flew out. ``aircraft_since``: minutes since it was due at
    its destination, by the time it left.
    """
    flown = board.landed - board.departed
    back = board.last(aircraft, known=board.landed, value=board.landed + flown)
    due = board.last(aircraft, known=board.left, value=board.departed + board.planned)
    return {
        "aircraft_delay": board.last(aircraft, known=board.landed, value=board.arrival_delay),
        "aircraft_slack": board.scheduled - back,
        "aircraft_since": board.scheduled - due,
    }


def _groups(flights: pd.DataFrame, *columns: str) -> Numbers:
    """Number the groups of flights that share *columns*; NaN where one of them is null."""
    number = flights.groupby(list(columns), sort=False).ngroup().astype("float64")
    return number.where(number >= 0).to_numpy()


def _mean(number: Numbers, total: Numbers) -> Numbers:
    return np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0)


def _with_weather(examples: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Add the newest observation of the airport that was published before departure."""
    published = weather[["origin", *WEATHER]].assign(
        published_at=weather["observed_at"] + PUBLISHED_AFTER
    )
    joined = pd.merge_asof(
        examples.sort_values("event_time", kind="stable"),
        published.sort_values("published_at", kind="stable"),
        left_on="event_time",
        right_on="published_at",
        by="origin",
        tolerance=WEATHER_AGE,
    )
    return joined.drop(columns="published_at")
