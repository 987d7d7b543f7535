"""
A machine without PostgreSQL: the stack runs on SQLite and refuses what is not safe there.

`make test` leaves this out, for its time: `make test-services` runs it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console

from evergreen_airflow.embedded.runs import run_dag
from tests.support.stack import running_stack


@pytest.fixture
def sqlite_stack(airflow_services):
    with running_stack(EVERGREEN_DATABASE="sqlite") as running:
        yield running


def test_the_feed_runs_and_a_backfill_is_refused_before_anything_is_touched(sqlite_stack):
    running = sqlite_stack
    console = Console(file=running.page, width=200)
    as_of = datetime(2013, 2, 1, tzinfo=UTC)
    run_dag(
        running.api,
        "flights_feed",
        run_id="e2e",
        conf={"as_of": as_of.isoformat()},
        console=console,
    )
    body = {
        "dag_id": "flights_feed",
        "from_date": "2013-01-05T00:00:00Z",
        "to_date": "2013-01-06T00:00:00Z",
    }

    answer = running.api.http.post("/backfills", json=body)
    runs = running.api.get("/dags/flights_feed/dagRuns")["dag_runs"]

    assert "so backfills are refused" in running.page.getvalue()
    assert answer.status_code == 400, answer.text
    assert "does not allow backfill runs" in answer.text
    assert [(run["dag_run_id"], run["state"]) for run in runs] == [("e2e", "success")]
