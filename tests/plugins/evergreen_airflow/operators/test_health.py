"""What an alert about the health of a model holds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

from evergreen.receipts.monitoring import HealthReceipt
from evergreen.spec import load_spec
from evergreen_airflow.links import page_url
from evergreen_airflow.operators import health
from evergreen_airflow.operators.health import AssessHealthOperator

SPEC = load_spec("flight_delay")


def receipt(colour: str, *reasons: str) -> HealthReceipt:
    return HealthReceipt(
        model=SPEC.model,
        as_of=datetime(2026, 3, 2, 6, tzinfo=UTC),
        day=date(2026, 3, 1),
        colour=colour,
        reasons=reasons,
        new_reasons=reasons,
        missing=(),
        retrain="is not needed",
        request=None,
        page="monitoring/flight_delay/2026-03-01/health.html",
    )


def test_the_alert_links_the_page_of_the_day_inside_airflow(monkeypatch):
    sent = []
    monkeypatch.setattr(health, "alert", lambda *_, **message: sent.append(message))
    ti = SimpleNamespace(dag_id="flight_delay__monitor", run_id="r", task_id="assess_health")
    operator = AssessHealthOperator(task_id="assess_health", model=SPEC.model, results={})

    operator._send_alert({"ti": ti}, receipt("red", "drift: temp"))
    operator._send_alert({"ti": ti}, receipt("green"))

    assert len(sent) == 1
    assert sent[0]["title"] == "RED: flight_delay on 2026-03-01"
    assert f"[Its page]({page_url({'ti': ti})})" in sent[0]["body"]
    assert page_url({"ti": ti}).endswith(
        "/dags/flight_delay__monitor/runs/r/tasks/assess_health/plugin/report"
    )
