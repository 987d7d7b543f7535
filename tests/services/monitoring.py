"""
The world moves, and monitor tells through Airflow: five drifted days, one retrain that says why; a
silent server, an unknown day and a red run; a replay that sees the same and starts nothing.

Part of promise 6. What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import psycopg2
import pytest
from playwright.sync_api import expect

from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.errors import StackError
from evergreen_airflow.embedded.database import NAME, USER
from tests.acceptance.conftest import Workflow, night, wait_until
from tests.support.browser import chromium, logged_in
from tests.support.stack import Stack

MODEL = "watched"
#: Nights whose newest day has distances in leagues.
DRIFTED = range(5, 10)


@pytest.fixture(scope="module")
def watched(scheduled_workflow):
    """A champion of night 1, five drifted days, and a server that logs."""
    model = scheduled_workflow(MODEL)
    stack = model.stack
    stack.api.http.post("/connections", json=warehouse(stack)).raise_for_status()
    for number in DRIFTED:
        drift(model, number)
    (first,) = model.past((1, "linear"))
    assert first["moved"]
    return model


def warehouse(stack: Stack) -> dict:
    """The stack's own PostgreSQL, as an Airflow connection for people's tables."""
    password = json.loads((stack.settings.home / "secrets.json").read_text())["database_password"]
    return {
        "connection_id": "warehouse",
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": stack.settings.postgres_port,
        "schema": NAME,
        "login": USER,
        "password": password,
    }


def day_of(number: int):
    """The newest whole day of a night."""
    return night(number).date() - timedelta(days=1)


def drift(model: Workflow, number: int) -> None:
    key = f"raw/flights/{day_of(number)}.parquet"
    rows = from_parquet(model.store.get(key))
    model.store.put(key, to_parquet(rows.assign(distance=rows["distance"] / 3)))


def serve(model: Workflow, number: int) -> None:
    """Log a day of requests as the server would."""
    rows = pd.DataFrame(
        {
            "received_at": pd.Timestamp(day_of(number), tz="UTC"),
            "duration_ms": np.linspace(1, 60, 500),
            "status": 200,
            "version": "1",
            "weight": 1.0,
        }
    )
    model.store.put(f"requests/{MODEL}/{day_of(number)}/server.parquet", to_parquet(rows))


def monitor(model: Workflow, number: int, *, is_served: bool = True) -> str:
    """Score and monitor a night; return the run."""
    as_of = night(number).isoformat()
    model.run("score", f"score-{number}", as_of=as_of)
    if is_served:
        serve(model, number)
    return model.run("monitor", f"monitor-{number}", as_of=as_of)


def health(model: Workflow, number: int) -> dict:
    return json.loads(model.store.get(f"monitoring/{MODEL}/{day_of(number)}/health.json"))


def requested(model: Workflow) -> list[dict]:
    return [run for run in model.runs("retrain") if run["run_type"] == "asset_triggered"]


@pytest.fixture(scope="module")
def moved(watched, hook):
    """The third drifted day is the first that calls for a retrain; then two more of them."""
    first = monitor(watched, DRIFTED[2])
    wait_until(lambda: bool(requested(watched)), within_s=180, what="the requested retrain")
    (run,) = requested(watched)
    watched.wait_for("retrain", run["dag_run_id"])
    for number in DRIFTED[3:]:
        monitor(watched, number)
    return first, run["dag_run_id"]


def test_drift_that_stays_starts_one_retrain_which_says_why(watched, moved):
    _, retrain = moved
    receipt = watched.receipt("retrain", retrain, "wait_for_data")

    assert [run["dag_run_id"] for run in requested(watched)] == [retrain]
    assert receipt["reason"].startswith("requested: drift on 3 of the last 5 days; drift: ")
    assert receipt["as_of"] == night(DRIFTED[2]).isoformat().replace("+00:00", "Z")
    assert receipt["reason"][:60] in watched.log("retrain", retrain, "wait_for_data")


def test_the_days_after_it_are_red_and_held_by_the_cool_down(watched, moved):
    found = [health(watched, number) for number in DRIFTED[2:]]

    assert {day["colour"] for day in found} == {"red"}
    assert [day["retrain"].partition(":")[0] for day in found] == ["requested", "held", "held"]
    assert "the cool-down is 7 days" in found[1]["retrain"]


def test_the_model_page_draws_the_days_and_leads_to_evidently(watched, moved):
    """From the chart of days to the page of one, and on to its drift report, all inside Airflow."""
    chromium()
    settings = watched.stack.settings
    with logged_in(settings, password=watched.stack.password) as page:
        page.goto(f"{settings.airflow_url}/plugin/models")
        inside = page.frame_locator("iframe")
        expect(inside.get_by_role("row", name=MODEL)).to_contain_text("red")
        inside.get_by_role("link", name=MODEL, exact=True).click()
        expect(inside.locator("#quality .main-svg").first).to_be_visible()
        expect(inside.locator("#drift .main-svg").first).to_be_visible()
        inside.get_by_role("link", name=str(day_of(DRIFTED[2])), exact=True).click()
        inside.get_by_role("link", name="Evidently's report").click()
        expect(inside.locator("body")).to_contain_text("Data Drift Summary")

        # The tab of the run is the same page, and its links lead on as well.
        page.goto(f"{settings.airflow_url}/dags/{MODEL}__monitor/runs/{moved[0]}/plugin/evidence")
        inside.get_by_role("link", name="Evidently's report").click()
        expect(inside.locator("body")).to_contain_text("Data Drift Summary")


def test_people_are_told_in_words_and_the_log_reads_like_a_report(watched, moved, hook):
    first, _ = moved
    alerts = [
        results for results in hook[1] if MODEL in str(results) and "is late" not in str(results)
    ]
    log = watched.log("monitor", first, "assess_health")

    assert f"RED: {MODEL} on {day_of(DRIFTED[2])}" in str(alerts[0])
    assert "Retrain: requested" in str(alerts[0])
    assert f"RED: {MODEL} on {day_of(DRIFTED[2])}" in log
    assert f"::group::{MODEL} on {day_of(DRIFTED[2])}" in log
    assert "an alarm is beyond" in watched.log("monitor", first, "detect_drift")


def test_a_late_run_is_told_of(watched, moved, hook):
    """By the triggerer, from Airflow's deadlines; each retrain here takes more than 3.6 s."""
    late = f"{MODEL}: {MODEL}__retrain is late"

    wait_until(lambda: any(late in str(results) for results in hook[1]), within_s=180, what=late)


def test_a_run_again_changes_nothing_and_starts_nothing(watched, moved):
    first, _ = moved
    kept = watched.bytes_of("monitoring", "retrain_requests", "quality", "distances", "reports")

    watched.stack.api.clear(f"{MODEL}__monitor", first)
    watched.wait_for("monitor", first)

    after = watched.bytes_of("monitoring", "retrain_requests", "quality", "distances", "reports")
    page = f"monitoring/{MODEL}/{day_of(DRIFTED[2])}/"
    assert {key for key in kept if kept[key] != after[key]} <= {
        f"{page}health.json",
        f"{page}health.html",
    }
    assert set(after) == set(kept)
    assert health(watched, DRIFTED[2])["retrain"] == "requested before; a retrain followed"
    assert len(requested(watched)) == 1


def test_the_warehouse_has_each_scored_day_once_whatever_is_run_again(watched, moved):
    def said() -> list[tuple]:
        to = warehouse(watched.stack)
        with (
            psycopg2.connect(
                host=to["host"], port=to["port"], dbname=NAME, user=USER, password=to["password"]
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT scored_day, count(*), min(model_version), sum(score) "
                "FROM public.said GROUP BY scored_day ORDER BY scored_day"
            )
            return cursor.fetchall()

    before = said()
    watched.stack.api.clear(f"{MODEL}__score", f"score-{DRIFTED[2]}")
    watched.wait_for("score", f"score-{DRIFTED[2]}")
    rows = watched.receipt("score", f"score-{DRIFTED[2]}", "score_partition")["rows"]

    assert said() == before
    assert next((day, count) for day, count, _, _ in before) == (day_of(DRIFTED[2]), rows)
    assert len(before) == len(DRIFTED[2:])


def test_a_silent_server_makes_the_day_unknown_and_the_run_red(watched, moved, hook):
    before = len(hook[1])

    with pytest.raises(StackError, match="logged no request on"):
        monitor(watched, 11, is_served=False)

    found = health(watched, 11)
    states = {t["task_id"]: t["state"] for t in watched.tasks("monitor", "monitor-11")}
    assert found["missing"] == ["service"]
    assert found["colour"] in ("unknown", "red")
    assert states["detect_drift"] == states["measure_quality"] == "success"
    assert states["assess_health"] == "failed"
    assert any("service: gave no result" in str(results) for results in hook[1][before:])
    assert len(requested(watched)) == 1
