"""From one day of stops to examples; the officer's report is known a day later."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """Return one row per stop."""
    stops = raw["stops"]
    return stops.assign(known_at=stops["event_time"] + timedelta(days=1))
