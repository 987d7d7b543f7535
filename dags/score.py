"""
# Score

Score every UTC day that ended since the run before, each with the version that was champion before the day
began. Whatever the schedule and the time zone, each day is scored by exactly one run; days that an outage left
out are scored by the next scheduled run once their data have landed.

| | |
|---|---|
| **Reads** | raw partitions of the days; the ledger and the version it names |
| **Writes** | `predictions/<model>/<day>/` in the object store, stamped with version and digest |
| **Safe to re-run** | Yes. Exactly those days are replaced, with the same bytes. |
| **Safe to backfill** | Yes. A past day is scored by the version that served then, never by a later one. |

**When it fails**

* `extract_data` (models that read a database): a day has no row, or the query cannot be run; the log says which.
* `wait_for_data` skipped: no UTC day ended in the run's data interval.
* `wait_for_data`: a partition is missing; the log names day and path. Land it, then clear the task.
* `validate_data`: the data violates its contract; the log names the rule. Land the day again.
* `score_partition` failed: no version was ever promoted. Run the model's retrain first.
* `score_partition` skipped: the day is before the first champion, and every version would be scored on its training data.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import late_alert
from evergreen_airflow.assets import champion, predictions
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, allowed_run_types, tags_of
from evergreen_airflow.operators.extraction import extract_data
from evergreen_airflow.operators.scoring import ScorePartitionOperator
from evergreen_airflow.operators.validation import ValidateDataOperator
from evergreen_airflow.params import AS_OF, REASON
from evergreen_airflow.sensors.data import WaitForDataSensor


def score(spec: ModelSpec) -> None:
    """Make the score DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__score",
        description=f"Score the newest day with the champion of {spec.model}",
        schedule=CronDataIntervalTimetable(spec.schedule_of("score"), timezone=spec.timezone),
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        allowed_run_types=allowed_run_types(),
        max_active_runs=4,  # days are independent: each takes its champion from the ledger
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        deadline=late_alert(spec),
        params={"as_of": AS_OF, "reason": REASON},
        tags=tags_of(spec, "score"),
        doc_md=__doc__,
    )
    def build() -> None:
        extract = extract_data(spec, scope="scoring")
        wait = WaitForDataSensor(
            task_id="wait_for_data",
            model=spec.model,
            scope="scoring",
            poke_interval=30,
            execution_timeout=timedelta(hours=spec.source.wait_hours + 1),
        )
        validate = ValidateDataOperator(
            task_id="validate_data", model=spec.model, run=wait.output, scope="scoring"
        )
        score_day = ScorePartitionOperator(
            task_id="score_partition",
            model=spec.model,
            run=wait.output,
            validation=validate.output,
            inlets=[champion(spec)],
            outlets=[predictions(spec)],
        )

        extract >> wait >> validate >> score_day

    build()


build_dags("score", score)
