"""Who is told of a late run, and when."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from airflow.sdk import DAG
from tests.acceptance.conftest import pager_to
from tests.hooks import listening

from evergreen.spec import load_spec
from evergreen.spec.policy import Alerts, Approval, Deployment
from evergreen_airflow import alerts


@pytest.fixture
def spec(monkeypatch):
    found = load_spec("flight_delay").model_copy(
        update={"alerts": Alerts(connections=("pager",), late_after_hours=2)}
    )
    monkeypatch.setattr(alerts, "load_spec", lambda model: found)
    return found


def late(run_type: str, monkeypatch) -> list[dict]:
    """Let a run of that kind be late, and return what the web hook heard."""
    run = {"dag_id": "m__retrain", "dag_run_id": "night", "run_type": run_type}
    with listening() as (port, heard):
        monkeypatch.setenv("AIRFLOW_CONN_PAGER", pager_to(port))
        asyncio.run(alerts.tell_late(model="m", hours=2, context={"dag_run": run}))
    return heard


def test_people_are_told_which_run_and_how_long(spec, monkeypatch):
    (told,) = late("scheduled", monkeypatch)

    assert told["title"] == "m: m__retrain is late"
    assert "Run night has not ended 2 hours after it was queued" in told["message"]


def test_a_backfill_has_no_hour_to_be_ready_by(spec, monkeypatch):
    assert late("backfill", monkeypatch) == []


def test_the_time_that_people_and_stages_may_take_is_granted(spec):
    slow = Deployment(approval=Approval(required=True, within_hours=12))

    assert alerts.late_alert(spec).interval == timedelta(hours=2)
    granted = alerts.late_alert(spec, answer_hours=slow.answer_hours)
    assert granted.interval == timedelta(hours=14)


def test_airflow_finds_the_callback_by_its_path(spec):
    found = DAG("d", schedule=None, deadline=alerts.late_alert(spec)).deadline

    assert [one.callback.path for one in found] == ["evergreen_airflow.alerts.tell_late"]
