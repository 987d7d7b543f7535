"""
# Retrain

Every night, fit the candidates on the days up to `as_of`, compare the best one on unseen test days with the
champion and the baselines, and make it champion if it passes every gate and, where the spec requires it, a
person approves.

| | |
|---|---|
| **Reads** | raw partitions of the window in the object store; the champion in MLflow |
| **Writes** | examples, reports and the evidence pack in the object store; one version in MLflow; the champion, if it passes |
| **Safe to re-run** | Yes. Finished work is found by its key; versions, alias and examples stay as they are. |
| **Safe to backfill** | Yes. A run older than any champion registers history and does not move the alias. With one run at a time (`--max-active-runs 1`) the champion evolves night by night; more runs replay nights in parallel. |

A challenger that misses a gate is a green run: the champion stays, and `evaluate_challenger` logs the reason. So
is one that a person rejects. `register_model` and `approve_promotion` link the evidence pack; the ledger records
who decided what, and the stages of a rollout. `deploy_model` is deferred during shadow and canary. A version that
is slow, fails or disagrees is rolled back automatically: the run is green and an alert is sent.
`approve_promotion` waits under *Required Actions*, without a worker slot; no answer in time is a rejection.

**When it fails**

* `extract_data` (models that read a database): a day has no row, or the query cannot be run; the log says which.
* `wait_for_data`: a partition is missing; the log names day and path. Land it, then clear the task.
* `validate_data`: the data violates its contract; the log names the rule. Land the day again, then clear
  the task. Clearing alone does not help.
* `prepare_examples`: the raw file changed while the run worked, or no model can be trained on the examples.
* `train_candidate`: `pipeline.py` returned something unusable. The error names the function. The run goes on
  without that candidate, which the evidence names; without the baseline or with the baseline alone it fails.
* `register_model`: runs only after `report_drift`: a version without complete evidence is never promoted.
* `deploy_model`: the version could not be loaded or scored, or the champion alias was moved by hand;
  the error names both versions, and the model's rollback DAG repairs it. Or no model server was live for
  the rollout, or too few requests were received; the log says which. The champion keeps serving.
* Anything else was already retried twice. Page the owner.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import AssetOrTimeSchedule, CronDataIntervalTimetable, TaskGroup, TriggerRule, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.alerts import late_alert
from evergreen_airflow.assets import champion_moves, retrain_request
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, allowed_run_types, tags_of
from evergreen_airflow.operators.approval import approve_promotion
from evergreen_airflow.operators.deployment import DeployModelOperator
from evergreen_airflow.operators.drift_report import ReportDriftOperator
from evergreen_airflow.operators.evaluation import EvaluateChallengerOperator
from evergreen_airflow.operators.extraction import extract_data
from evergreen_airflow.operators.preparation import PrepareExamplesOperator
from evergreen_airflow.operators.registration import RegisterModelOperator
from evergreen_airflow.operators.training import TrainCandidateOperator
from evergreen_airflow.operators.validation import ValidateDataOperator
from evergreen_airflow.params import AS_OF, DRY_RUN, REASON, candidates_param
from evergreen_airflow.sensors.data import WaitForDataSensor


def retrain(spec: ModelSpec) -> None:
    """Make the retrain DAG of one model."""

    @dag(
        dag_id=f"{spec.model}__retrain",
        description=f"Retrain {spec.model} and promote it if it is better",
        schedule=AssetOrTimeSchedule(
            timetable=CronDataIntervalTimetable(
                spec.schedule_of("retrain"), timezone=spec.timezone
            ),
            assets=[retrain_request(spec)],
        ),
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        allowed_run_types=allowed_run_types(),
        # Each night is compared with the champion of the night before. A backfill has a limit of
        # its own: 1 lets the champion evolve night by night, more replays nights side by side.
        max_active_runs=1,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        deadline=late_alert(spec, answer_hours=spec.deployment.answer_hours),
        params={
            "as_of": AS_OF,
            "reason": REASON,
            "dry_run": DRY_RUN,
            "candidates": candidates_param(spec),
        },
        tags=tags_of(spec, "retrain"),
        doc_md=__doc__,
    )
    def build() -> None:
        validate, prepare = data_tasks(spec)
        register = challenger_tasks(spec, validate=validate, prepare=prepare)
        promotion_tasks(spec, register=register)

    build()


def data_tasks(spec: ModelSpec) -> tuple[ValidateDataOperator, PrepareExamplesOperator]:
    """Make the tasks that bring, check and prepare the days of the window."""
    with TaskGroup("data", tooltip="Data: present, valid, prepared", prefix_group_id=False):
        extract = extract_data(spec, scope="training")
        wait = WaitForDataSensor(
            task_id="wait_for_data",
            model=spec.model,
            scope="training",
            poke_interval=30,
            execution_timeout=timedelta(hours=spec.source.wait_hours + 1),
        )
        validate = ValidateDataOperator(
            task_id="validate_data", model=spec.model, run=wait.output, scope="training"
        )
        prepare = PrepareExamplesOperator(
            task_id="prepare_examples", model=spec.model, validation=validate.output
        )
        extract >> wait >> validate >> prepare
    return validate, prepare


def challenger_tasks(
    spec: ModelSpec, *, validate: ValidateDataOperator, prepare: PrepareExamplesOperator
) -> RegisterModelOperator:
    """Make the tasks that train candidates, evaluate the best one and register it."""
    with TaskGroup(
        "challenger", tooltip="Challenger: trained, evaluated, registered", prefix_group_id=False
    ):
        train = TrainCandidateOperator.partial(
            task_id="train_candidate",
            model=spec.model,
            examples=prepare.output,
            map_index_template="{{ task.candidate }}",
            **spec.engine.placement,
        ).expand(candidate=list(spec.candidate_names))
        evaluate = EvaluateChallengerOperator(
            task_id="evaluate_challenger",
            model=spec.model,
            candidates=train.output,
            examples=prepare.output,
            # A run may leave candidates out, and one that fails must not hold up the others.
            trigger_rule=TriggerRule.ALL_DONE,
        )
        report = ReportDriftOperator(
            task_id="report_drift", model=spec.model, examples=prepare.output
        )
        register = RegisterModelOperator(
            task_id="register_model",
            model=spec.model,
            evaluation=evaluate.output,
            validation=validate.output,
            examples=prepare.output,
            drift=report.output,
        )
        prepare >> train >> evaluate >> register
        prepare >> report >> register
    return register


def promotion_tasks(spec: ModelSpec, *, register: RegisterModelOperator) -> None:
    """Make the tasks that ask a person, where the spec requires it, and deploy the version."""
    with TaskGroup("promotion", tooltip="Promotion: approved and deployed", prefix_group_id=False):
        approve = approve_promotion(spec, registration=register.output)
        deploy = DeployModelOperator(
            task_id="deploy_model",
            model=spec.model,
            registration=register.output,
            approval=approve.output if approve else None,
            execution_timeout=timedelta(hours=spec.deployment.longest_hours + 1),
            outlets=[champion_moves(spec)],
        )
        register >> deploy


build_dags("retrain", retrain)
