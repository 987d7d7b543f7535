"""Whom a question is put to, and which evidence it links, here and in another environment."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG

from evergreen.spec import load_spec
from evergreen.spec.release import Approval, Deployment
from evergreen_airflow.links import page_url
from evergreen_airflow.operators.approval import ApprovePromotionOperator, approve_promotion

SPEC = load_spec("flight_delay")
PROMOTE = {
    "environment": "{{ params.to }}",
    "store_conn_id": "object_store_staging",
    "registry_conn_id": "mlflow_staging",
}


def asked(*users: str, **where: str) -> ApprovePromotionOperator:
    approval = Approval(required=True, users=users)
    spec = SPEC.model_copy(update={"deployment": Deployment(approval=approval)})
    with DAG("m__promote" if where else "m__retrain", schedule=None):
        found = approve_promotion(spec, registration={}, **where)
    assert found is not None
    return found


@pytest.mark.parametrize("where", [{}, PROMOTE], ids=["retrain", "promote"])
def test_both_dags_put_the_question_to_the_users_of_the_spec_alone(where):
    users = asked("boss", "deputy", **where).assigned_users

    assert [(user["id"], user["name"]) for user in users] == [
        ("boss", "boss"),
        ("deputy", "deputy"),
    ]
    assert not asked(**where).assigned_users


def test_the_evidence_is_a_page_of_airflow_here_and_of_mlflow_in_another_environment(monkeypatch):
    ti = SimpleNamespace(dag_id="m__retrain", run_id="r", task_id="approve_promotion")
    registration = SimpleNamespace(experiment_id="7", run_id="abc")
    here, there = asked(), asked(**PROMOTE)
    monkeypatch.setattr(ApprovePromotionOperator, "registry_url", "http://mlflow-staging")

    assert here._evidence({"ti": ti}, registration) == page_url({"ti": ti}, "register_model")
    assert there._evidence({"ti": ti}, registration) == (
        "http://mlflow-staging/#/experiments/7/runs/abc/artifacts/evidence/evidence.html"
    )
