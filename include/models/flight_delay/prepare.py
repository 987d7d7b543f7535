"""From one raw day of flights and weather to examples: what was known at scheduled departure."""

from __future__ import annotations

from datetime import date

import pandas as pd

#: A flight is late if it arrives more than this after its scheduled arrival.
LATE_MINUTES = 15
#: An hourly observation is published within the hour that follows it.
PUBLISHED_AFTER = pd.Timedelta(hours=1)
#: Weather older than this at departure says nothing; the inputs are then null.
WEATHER_AGE = pd.Timedelta(hours=6)

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """
    Return one row per flight scheduled to leave on *day* (UTC).

    Columns that exist only after departure (delays, times in the air) never become inputs. The
    label is known when the plane has landed; a cancelled or diverted flight has none.

    :param raw: ``flights`` of *day*; ``weather`` of *day* and the day before.
    """
    flights = raw["flights"]
    landed = flights["arr_delay"].notna() & flights["arrived_at"].notna()
    late = (flights["arr_delay"] > LATE_MINUTES).astype("boolean").mask(~landed)
    examples = flights[
        ["carrier", "flight", "origin", "dest", "distance", "hour", "minute"]
    ].assign(
        scheduled_departure=flights["scheduled_departure"],
        event_time=flights["scheduled_departure"],
        known_at=flights["arrived_at"].where(landed),
        is_late=late,
        weekday=flights["local_weekday"],
    )
    return _with_weather(examples, raw["weather"])


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
