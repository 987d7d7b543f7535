"""
# Monitor

Every day, after the scores: measure drift, prediction quality, service metrics, training-serving skew and the
age of the champion. One state: green, amber, red or unknown. Red can request a retrain, within limits.

| | |
|---|---|
| **Reads** | raw partitions of the day and the weeks before; predictions; the ledger; the request log of the server |
| **Writes** | `monitoring/<model>/<day>/` and Evidently's report in the object store; perhaps an event of `<model>.retrain_request` |
| **Safe to re-run** | Yes. Earlier measurements are reused, the day's page is replaced, a retrain is requested once. |
| **Safe to backfill** | Yes. A past day uses only what was known then. No alert is sent and no retrain is started; the page shows what would have been requested. Score the days first. With one run at a time (`--max-active-runs 1`) the limits act as they would have. |

Amber: one day is unusual, or labels are late. Red: act. A requested retrain appears as a run of
`<model>__retrain` whose first task shows the reason. A paused retrain DAG loses requests: the page shows this after
the cool-down.

**When it fails**

* `extract_data` (models that read a database): a day has no row, or the query cannot be run; the log says which.
* `wait_for_data`: a partition or the day's predictions are missing; the log names them. Land the day, run the
  model's score DAG, then clear the task.
* `wait_for_data` skipped: the day is before the first champion.
* `validate_data`: the day violates the serving contract; the log names the rule. Land it again, then clear the task.
* `detect_drift`: the day has no reference days; the error names what is needed.
* `measure_service`: the server logged nothing, or in another format. Check the server first.
* `measure_skew`: the day was not scored, so there are no examples to compare the callers' rows with.
* `assess_health`: a monitor gave no result. The page shows the other results; repair the failed task and clear it.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import CronDataIntervalTimetable, TaskGroup, TriggerRule, dag

from evergreen.monitoring.monitors import monitors_of
from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import late_alert
from evergreen_airflow.assets import predictions, retrain_requests
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, allowed_run_types, tags_of
from evergreen_airflow.operators.extraction import extract_data
from evergreen_airflow.operators.health import AssessHealthOperator
from evergreen_airflow.operators.monitoring import MonitorOperator
from evergreen_airflow.operators.validation import ValidateDataOperator
from evergreen_airflow.params import AS_OF, REASON
from evergreen_airflow.sensors.data import WaitForDataSensor


def monitor(spec: ModelSpec) -> None:
    """Make the monitor DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__monitor",
        description=f"Monitor {spec.model}, and request a retrain when needed",
        schedule=CronDataIntervalTimetable(spec.schedule_of("monitor"), timezone=spec.timezone),
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
        monitors = monitors_of(spec)
        with TaskGroup("monitors", tooltip="What is measured every day", prefix_group_id=False):
            measured = {
                monitor.name: MonitorOperator(
                    task_id=monitor.task_id, model=spec.model, monitor=monitor.name, run=run
                )
                for monitor in monitors
            }
        assess = AssessHealthOperator(
            task_id="assess_health",
            model=spec.model,
            results={name: task.output for name, task in measured.items()},
            trigger_rule=TriggerRule.ALL_DONE,  # a monitor that failed is part of the result
            outlets=[retrain_requests(spec)],
        )

        extract >> wait >> validate
        for monitor in monitors:
            (validate if monitor.reads_raw else wait) >> measured[monitor.name] >> assess

    build()


build_dags("monitor", monitor)
