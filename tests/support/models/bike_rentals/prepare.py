"""From one day of hours to examples; the rentals of an hour are known when it has ended."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """Return one row per hour."""
    hours = raw["hours"]
    return hours.assign(known_at=hours["event_time"] + timedelta(hours=1))
