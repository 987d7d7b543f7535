"""
# Monitor

Every day, after the scores: has the world moved, do the predictions come true, does the server keep its
word, has the champion grown old? One decision, green, amber, red or unknown; on red a retrain is asked for,
with brakes.

| | |
|---|---|
| **Reads** | raw partitions of the day and the weeks before; predictions; the ledger; the request log of the server |
| **Writes** | `monitoring/<model>/<day>/` and Evidently's report in the object store; perhaps an event of `<model>.retrain_request` |
| **Safe to re-run** | Yes. What was measured is found again, the day's page is replaced, a retrain is asked for once. |
| **Safe to backfill** | Yes. A past day is seen as it was known then. Nobody is told, nothing is started; the page says what would have been asked for. Score the days first. One at a time (`--max-active-runs 1`) the brakes act as they would have. |

Amber: one day is out of the ordinary, or labels are late. Red: act. A retrain that was asked for appears as a run of
`<model>__retrain` whose first task says why. A paused retrain DAG loses what it is asked: the page says so after the
cool-down.

**When it fails**

* `extract_data` (models that read a database): a day has no row, or the query cannot be run; the log says which.
* `wait_for_data`: a partition or the day's predictions did not come; the log names them. Land the day, run the
  model's score DAG, then clear the task.
* `wait_for_data` skipped: the day lies before the first champion.
* `validate_data`: the day breaks the serving contract; the log says how. Land it again, then clear the task.
* `detect_drift`: the day has no reference; the error says what would make one.
* `measure_service`: the server logged nothing, or in another form. Look at the server first.
* `measure_skew`: the day was not scored, so there is nothing to hold the callers' rows against.
* `assess_health`: a watcher gave no result. Its page says what is known; mend the task that failed and clear it.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import CronDataIntervalTimetable, TaskGroup, TriggerRule, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import late_alert
from evergreen_airflow.assets import predictions, retrain_requests
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, allowed_run_types, tags_of
from evergreen_airflow.operators.drift_detection import DetectDriftOperator
from evergreen_airflow.operators.extraction import extract_data
from evergreen_airflow.operators.health import AssessHealthOperator
from evergreen_airflow.operators.quality import MeasureQualityOperator
from evergreen_airflow.operators.service import MeasureServiceOperator
from evergreen_airflow.operators.skew import MeasureSkewOperator
from evergreen_airflow.operators.staleness import MeasureStalenessOperator
from evergreen_airflow.operators.validation import ValidateDataOperator
from evergreen_airflow.run_context import AS_OF, REASON
from evergreen_airflow.sensors.data import WaitForDataSensor


def monitor(spec: ModelSpec) -> None:
    """Make the monitor DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__monitor",
        description=f"Watch {spec.model}, and ask for a retrain when it is time",
        schedule=CronDataIntervalTimetable(spec.schedule, timezone=spec.timezone),
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        allowed_run_types=allowed_run_types(),
        max_active_runs=1,  # one night's request is known to the next
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        deadline=late_alert(spec),
        params={"as_of": AS_OF, "reason": REASON},
        tags=tags_of(spec, "monitor"),
        doc_md=__doc__,
    )
    def build() -> None:
        extract = extract_data(spec, scope="monitoring")
        wait = WaitForDataSensor(
            task_id="wait_for_data",
            model=spec.model,
            scope="monitoring",
            poke_interval=30,
            execution_timeout=timedelta(hours=spec.source.wait_hours + 1),
            inlets=[predictions(spec)],
        )
        run = wait.output
        validate = ValidateDataOperator(
            task_id="validate_data", model=spec.model, run=run, scope="monitoring"
        )
        with TaskGroup("watchers", tooltip="What moved?", prefix_group_id=False):
            drift = DetectDriftOperator(task_id="detect_drift", model=spec.model, run=run)
            quality = MeasureQualityOperator(task_id="measure_quality", model=spec.model, run=run)
            staleness = MeasureStalenessOperator(
                task_id="measure_staleness", model=spec.model, run=run
            )
            service = skew = None
            if spec.service:
                service = MeasureServiceOperator(
                    task_id="measure_service", model=spec.model, run=run
                )
            if spec.service and spec.service.watches_skew:
                skew = MeasureSkewOperator(task_id="measure_skew", model=spec.model, run=run)
        assess = AssessHealthOperator(
            task_id="assess_health",
            model=spec.model,
            drift=drift.output,
            quality=quality.output,
            service=service.output if service else None,
            skew=skew.output if skew else None,
            staleness=staleness.output,
            trigger_rule=TriggerRule.ALL_DONE,  # a watcher that failed is what it must tell
            outlets=[retrain_requests(spec)],
        )

        extract >> wait >> validate >> [drift, quality] >> assess
        wait >> [staleness, *(task for task in (service, skew) if task)] >> assess

    build()


build_dags("monitor", monitor)
