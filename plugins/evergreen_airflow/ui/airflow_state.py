"""What Airflow's database knows of a model's runs; used in the API server only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import func, select

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The last and the next run of one DAG."""

    last_run_id: str | None
    last_state: str | None
    last_ended: datetime | None
    verdict: str | None
    next_run: datetime | None
    is_paused: bool


@dataclass(frozen=True, kw_only=True)
class DagState:
    """
    The newest run of one DAG, and what its schedule asks of it.

    ``last_due``: the instant of the newest scheduled run that has ended.
    """

    last_run_id: str | None = None
    last_state: str | None = None
    last_due: datetime | None = None
    next_run: datetime | None = None
    is_paused: bool = False


@dataclass(frozen=True, kw_only=True)
class OpenApproval:
    """An approval somebody waits for."""

    dag_id: str
    run_id: str
    task_id: str
    subject: str
    asked: datetime


def runs_of_dags(session: Session, dag_id: str) -> Runs:
    """Return the newest run of *dag_id*, the result of its deploy, and when the next one is due."""
    last = session.scalar(
        select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc()).limit(1)
    )
    dag = session.get(DagModel, dag_id)
    verdict = receipt(session, dag_id, last.run_id, "deploy_model") if last else None
    return Runs(
        last_run_id=last.run_id if last else None,
        last_state=str(last.state) if last else None,
        last_ended=last.end_date if last else None,
        verdict=verdict["reason"] if verdict else None,
        next_run=dag.next_dagrun_create_after if dag else None,
        is_paused=bool(dag.is_paused) if dag else False,
    )


def states_of_dags(session: Session, dag_ids: set[str]) -> dict[str, DagState]:
    """Return the state of each of *dag_ids*, in three queries however many they are."""
    order = func.row_number().over(partition_by=DagRun.dag_id, order_by=DagRun.run_after.desc())
    ranked = (
        select(DagRun.dag_id, DagRun.run_id, DagRun.state, order.label("place"))
        .where(DagRun.dag_id.in_(dag_ids))
        .subquery()
    )
    newest: dict[str, tuple[str | None, str | None]] = {
        str(dag_id): (str(run_id), str(state))
        for dag_id, run_id, state in session.execute(
            select(ranked.c.dag_id, ranked.c.run_id, ranked.c.state).where(ranked.c.place == 1)
        )
    }
    ended = select(DagRun.dag_id, func.max(DagRun.run_after)).where(
        DagRun.dag_id.in_(dag_ids),
        DagRun.run_type == "scheduled",
        DagRun.state.in_(("success", "failed")),
    )
    due = dict(session.execute(ended.group_by(DagRun.dag_id)).tuples().all())
    plans = select(DagModel.dag_id, DagModel.next_dagrun_create_after, DagModel.is_paused)
    planned = {
        dag_id: (at, bool(is_paused))
        for dag_id, at, is_paused in session.execute(plans.where(DagModel.dag_id.in_(dag_ids)))
    }
    return {
        dag_id: DagState(
            last_run_id=newest.get(dag_id, (None, None))[0],
            last_state=newest.get(dag_id, (None, None))[1],
            last_due=due.get(dag_id),
            next_run=planned.get(dag_id, (None, False))[0],
            is_paused=planned.get(dag_id, (None, False))[1],
        )
        for dag_id in dag_ids
    }


def questions(session: Session, dag_ids: set[str]) -> list[OpenApproval]:
    """Return the approvals of *dag_ids* that wait for a person, oldest first."""
    found = session.execute(
        select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            HITLDetail.subject,
            HITLDetail.created_at,
        )
        .join(TaskInstance, HITLDetail.ti_id == TaskInstance.id)
        .where(
            HITLDetail.responded_at.is_(None),
            TaskInstance.dag_id.in_(dag_ids),
            TaskInstance.state == "awaiting_input",
        )
        .order_by(HITLDetail.created_at)
    )
    return [
        OpenApproval(dag_id=row[0], run_id=row[1], task_id=row[2], subject=row[3], asked=row[4])
        for row in found
    ]


def receipt(
    session: Session, dag_id: str, run_id: str, task_id: str, map_index: int = -1
) -> dict[str, Any] | None:
    """Return what a task handed on, or None if it has not (yet)."""
    found = session.scalar(
        select(XComModel).where(
            XComModel.dag_id == dag_id,
            XComModel.run_id == run_id,
            XComModel.task_id == task_id,
            XComModel.map_index == map_index,
            XComModel.key == "return_value",
        )
    )
    if found is None:
        return None
    value = XComModel.deserialize_value(found)
    return value if isinstance(value, dict) else None
