"""Who is told of a late run, and when."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk._shared.secrets_masker import _secrets_masker
from tests.conftest import ROOT
from tests.support.hooks import listening, pager_to

from evergreen.errors import DataContractError, UpstreamFailedError
from evergreen.spec import load_spec
from evergreen.spec.operations import Alerts
from evergreen.spec.release import Approval, Deployment
from evergreen_airflow import alerts

# A web hook listens in most of them.
pytestmark = pytest.mark.usefixtures("network")


@pytest.fixture
def spec(monkeypatch):
    found = load_spec("flight_delay").model_copy(
        update={"alerts": Alerts(connections=("pager",), late_after_hours=2)}
    )
    monkeypatch.setattr(alerts, "load_spec", lambda model: found)
    return found


def late(run_type: str, monkeypatch, state: str = "running") -> list[dict]:
    """Let a run of that kind be late, and return what the web hook heard."""
    run = {"dag_id": "m__retrain", "dag_run_id": "night", "run_type": run_type, "state": state}
    with listening() as (port, results):
        monkeypatch.setenv("AIRFLOW_CONN_PAGER", pager_to(port))
        asyncio.run(alerts.alert_late(model="m", hours=2, context={"dag_run": run}))
    return results


def test_people_are_told_which_run_and_how_long(spec, monkeypatch):
    (told,) = late("scheduled", monkeypatch)

    assert told["title"] == "m: m__retrain is late"
    assert "Run night has not ended 2 hours after it was queued" in told["message"]


def test_a_backfill_has_no_hour_to_be_ready_by(spec, monkeypatch):
    assert late("backfill", monkeypatch) == []


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_has_ended_is_not_late(spec, monkeypatch, state):
    """Airflow keeps the deadline of a run that failed."""
    assert late("scheduled", monkeypatch, state) == []


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_run_that_has_not_ended_is(spec, monkeypatch, state):
    assert len(late("scheduled", monkeypatch, state)) == 1


URL = "http://localhost:8080/dags/m__retrain/runs/night%201/tasks/validate_data?try_number=1"


def failure(monkeypatch, *, error, kind="scheduled", dag_id="m__retrain", map_index=-1):
    """Let a task fail for good, and return what the web hook received."""
    run = SimpleNamespace(dag_id=dag_id, run_id="night 1", run_type=kind)
    task = SimpleNamespace(task_id="validate_data", map_index=map_index, try_number=1, log_url=URL)
    with listening() as (port, received):
        monkeypatch.setenv("AIRFLOW_CONN_PAGER", pager_to(port))
        alerts.alert_failure({"dag_run": run, "ti": task, "exception": error})
    return received


def test_a_failure_names_task_reason_and_log(spec, monkeypatch):
    (sent,) = failure(monkeypatch, error=DataContractError("flights of 2013-03-01: 0 rows"))

    assert sent["title"] == "m: validate_data of m__retrain failed"
    assert "Task validate_data of run night 1 failed at try 1" in sent["message"]
    assert "DataContractError: flights of 2013-03-01: 0 rows" in sent["message"]
    assert URL in sent["message"]


@pytest.mark.parametrize("error", [None, "killed", KeyError("x"), ValueError("y" * 100_000)])
def test_any_reason_is_sent_and_bounded(spec, monkeypatch, error):
    (sent,) = failure(monkeypatch, error=error, map_index=2)

    assert "Task validate_data [2] of run" in sent["message"]
    assert len(sent["message"]) < 3_000


def test_a_secret_in_the_reason_is_masked(spec, monkeypatch):
    from airflow.sdk.log import mask_secret

    monkeypatch.setattr(_secrets_masker(), "patterns", set(_secrets_masker().patterns))
    mask_secret("a-long-password-of-the-warehouse")
    error = RuntimeError("postgresql://u:a-long-password-of-the-warehouse@db")
    (sent,) = failure(monkeypatch, error=error)

    assert "a-long-password-of-the-warehouse" not in str(sent)


@pytest.mark.parametrize(
    "who", [{"kind": "backfill"}, {"dag_id": "flights_feed"}], ids=["backfill", "no model"]
)
def test_who_is_not_alerted(spec, monkeypatch, who):
    assert failure(monkeypatch, error=None, **who) == []


def test_what_failed_because_of_a_task_before_it_is_not_alerted_a_second_time(spec, monkeypatch):
    assert failure(monkeypatch, error=UpstreamFailedError("no receipt")) == []


def test_a_spec_that_cannot_be_read_raises_nothing(monkeypatch):
    assert failure(monkeypatch, error=None, dag_id="no_such_model__retrain") == []


def test_every_task_of_every_model_alerts():
    from airflow.dag_processing.dagbag import DagBag

    found = DagBag(str(ROOT / "dags"))

    tasks = [task for dag in found.dags.values() for task in dag.tasks]
    assert len(tasks) > 20
    assert [t.task_id for t in tasks if alerts.alert_failure not in t.on_failure_callback] == []


def test_every_dag_of_a_model_that_runs_by_itself_or_asks_people_is_alerted_when_late():
    from airflow.dag_processing.dagbag import DagBag

    dags = DagBag(str(ROOT / "dags")).dags
    late = {name.rpartition("__")[2] for name, dag in dags.items() if dag.deadline}

    assert late == {"retrain", "score", "monitor", "housekeeping", "promote"}


def test_the_time_that_people_and_stages_may_take_is_granted(spec):
    slow = Deployment(approval=Approval(required=True, within_hours=12))

    assert alerts.late_alert(spec).interval == timedelta(hours=2)
    granted = alerts.late_alert(spec, answer_hours=slow.answer_hours)
    assert granted.interval == timedelta(hours=14)


def test_airflow_finds_the_callback_by_its_path(spec):
    found = DAG("d", schedule=None, deadline=alerts.late_alert(spec)).deadline

    assert [one.callback.path for one in found] == ["evergreen_airflow.alerts.alert_late"]
