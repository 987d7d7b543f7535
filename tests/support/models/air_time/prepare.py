"""From one day of the flights table to examples: what was known at scheduled departure."""

from __future__ import annotations

from datetime import date

import pandas as pd

INPUTS = ["carrier", "flight", "origin", "distance", "hour"]


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """Return one row per flight; its label is known when it has landed."""
    flights = raw["flights"]
    landed = flights["air_time"].notna() & flights["arrived_at"].notna()
    return flights[INPUTS].assign(
        scheduled_departure=flights["scheduled_departure"],
        event_time=flights["scheduled_departure"],
        known_at=flights["arrived_at"].where(landed),
        air_time=flights["air_time"].where(landed),
    )
