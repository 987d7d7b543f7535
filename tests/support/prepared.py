"""The flights of 2013 as prepared examples, without a store: the contract has tests of its own."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from evergreen.data import examples
from evergreen.spec import load_spec
from models.flight_delay import feed, prepare
from tests.support import run

A_DAY = timedelta(days=1)
KEY = ["carrier", "flight", "origin", "scheduled_departure"]
#: Wind beyond it, in miles an hour, is refused by the contract.
TOO_WINDY = 150


def raw_days(days: Iterable[date] | None = None) -> dict[date, dict[str, pd.DataFrame]]:
    """Return what ``prepare`` gets for each of *days*, by default for all with a day before."""
    weather = feed._weather()
    tables = {
        "flights": _by_day(feed._flights().drop_duplicates(KEY), "scheduled_departure"),
        "weather": _by_day(weather[~(weather["wind_speed"] > TOO_WINDY)], "observed_at"),
    }
    every = pd.date_range(feed.FIRST_DAY + A_DAY, feed.LAST_DAY).date
    return {
        day: {
            name: pd.concat([table[d] for d in (day - A_DAY, day) if d in table], ignore_index=True)
            for name, table in tables.items()
        }
        for day in (every if days is None else days)
    }


def prepared_year() -> dict[date, pd.DataFrame]:
    """Return the examples of every day that has a day before; a run of pytest prepares it once."""
    if run.MARK not in os.environ:  # a bench
        return prepared_days()

    def make(root: Path) -> str:
        (root / "days.pickle").write_bytes(pickle.dumps(prepared_days()))
        return str(root / "days.pickle")

    return dict(pickle.loads(Path(run.once("prepared_year", make)).read_bytes()))


def prepared_days(days: Iterable[date] | None = None) -> dict[date, pd.DataFrame]:
    """Return the examples of each of *days*, as :func:`raw_days` chooses them."""
    spec = load_spec("flight_delay").examples
    return {
        day: examples.checked(prepare.prepare(raw, day), spec=spec, day=day).frame
        for day, raw in raw_days(days).items()
    }


def _by_day(frame: pd.DataFrame, time: str) -> dict[date, pd.DataFrame]:
    return dict(iter(frame.groupby(frame[time].dt.date)))
