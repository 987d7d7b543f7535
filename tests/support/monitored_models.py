"""Models whose year can be monitored day by day: the sample, and two on data of others."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from evergreen.data.parquet import to_parquet
from evergreen.spec import load_spec
from evergreen.spec.model import ModelSpec
from evergreen.spec.modeling import CandidateSpec
from evergreen.storage.base import ObjectStore
from tests.support.datasets import Dataset, bike_rentals, police_stops

MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """
    A model, its data, and what happened in its time.

    ``days`` are those with data, the first and the last. ``land`` writes their partitions into a
    store. ``events`` are for the eye.
    """

    spec: ModelSpec
    days: tuple[date, date]
    land: Callable[[ObjectStore], None] = field(repr=False)
    events: dict[str, str] = field(default_factory=dict)


def flights() -> Monitored:
    """The sample with its faster candidate, for the year in which its data lies."""
    from models.flight_delay import feed

    spec = load_spec("flight_delay")
    offline = spec.deployment.model_copy(update={"target": "batch"})
    first, last = feed.FIRST_DAY, feed.LAST_DAY

    def land(store: ObjectStore) -> None:
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        feed.land_days(store, days, replace=frozenset())

    return Monitored(
        spec=spec.model_copy(
            update={"candidates": {"blend": CandidateSpec()}, "deployment": offline}
        ),
        days=(first + timedelta(days=1), last),  # a day is prepared with the day before it
        land=land,
        events={
            "2013-05-25": "Memorial Day weekend",
            "2013-07-04": "Independence Day",
            "2013-08-31": "Labor Day weekend",
            "2013-11-03": "clocks go back",
            "2013-11-28": "Thanksgiving",
            "2013-12-25": "Christmas",
        },
    )


def stops(code: Path) -> Monitored:
    """Police stops of Minneapolis in 2017; *code* is an empty folder for the model's code."""
    data = police_stops()
    events = {
        "2017-05-29": "Memorial Day",
        "2017-07-04": "Independence Day",
        "2017-09-04": "Labor Day",
        "2017-11-23": "Thanksgiving",
        "2017-12-25": "Christmas",
    }
    return _of(data, "police_stops", table="stops", key="stop", code=code, events=events)


def bikes(code: Path) -> Monitored:
    """Bike rentals of Washington in 2011 and 2012; *code* is an empty folder for its code."""
    events = {
        "2011-08-27": "hurricane Irene",
        "2011-11-24": "Thanksgiving",
        "2012-07-04": "Independence Day",
        "2012-10-29": "hurricane Sandy",
    }
    return _of(bike_rentals(), "bike_rentals", table="hours", key=None, code=code, events=events)


def _of(
    data: Dataset, model: str, *, table: str, key: str | None, code: Path, events: dict[str, str]
) -> Monitored:
    """Copy the model's code below *code*, where Python finds it, and read its spec."""
    shutil.copytree(MODELS / model, code / "models" / model)
    sys.path.insert(0, str(code))  # models is a namespace package
    rows = data.rows.drop(columns="day")
    if key:
        rows.insert(0, key, range(len(rows)))

    def land(store: ObjectStore) -> None:
        for day, frame in rows.groupby(rows["event_time"].dt.date):
            store.put(f"raw/{table}/{day}.parquet", to_parquet(frame.reset_index(drop=True)))

    times = rows["event_time"].dt.date
    return Monitored(
        spec=load_spec(model, models_dir=code / "models"),
        days=(times.min(), times.max()),
        land=land,
        events=events,
    )


#: Each by its name; it is given an empty folder.
EVERY: dict[str, Callable[[Path], Monitored]] = {
    "flights": lambda _: flights(),
    "police_stops": stops,
    "bike_rentals": bikes,
}
