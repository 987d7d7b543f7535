"""
`make demo`: the sample at its full size, from data to champion, predictions and reports.

What follows after a night (a second try, a missing day, a backfill) is tested with a small model
in tests/acceptance/test_nightly_loop.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from rich.console import Console

from evergreen_airflow.embedded import demo
from tests.acceptance.conftest import Workflow, copy_project, wait_until
from tests.support.stack import running_stack

AS_OF = datetime(2013, 7, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Demo(Workflow):
    """The sample after one demo, and what the demo printed."""

    page: str

    def run_id(self, workflow: str) -> str:
        runs = [run["dag_run_id"] for run in self.runs(workflow)]
        return next(run for run in runs if run.startswith("demo"))


@pytest.fixture(scope="module")
def shown(airflow_services, tmp_path_factory) -> Iterator[Demo]:
    project = copy_project(tmp_path_factory.mktemp("demo"), {})
    page = io.StringIO()
    with running_stack(EVERGREEN_PROJECT=str(project), EVERGREEN_SERVING="on") as stack:
        console = Console(file=page, width=200)
        demo.run_demo(stack.settings, password=stack.password, as_of=AS_OF, console=console)
        yield Demo(stack=stack, project=project, model="flight_delay", page=page.getvalue())


def test_it_ends_with_a_champion_predictions_and_a_report(shown):
    assert shown.champion() == "1"
    assert [entry.step for entry in shown.ledger().entries] == ["intent", "outcome"]
    assert shown.bytes_of("predictions")
    assert shown.reports()
    assert shown.store.get("monitoring/flight_delay/2013-07-01/health.html")
    assert shown.errors() == []


def test_the_summary_shows_the_champion_beside_the_baseline(shown):
    lines = [line for line in shown.page.splitlines() if "challenger" in line or "baseline" in line]

    assert any(line.split("│")[2].strip() == "0.5000" for line in lines)
    assert "champion" in shown.page
    assert "Drift report" in shown.page
    assert "Health page" in shown.page
    assert "labels: none are due yet" in shown.page


def test_the_champion_answers_over_http(shown):
    assert f"Served by     {shown.stack.settings.serving_url}  version 1" in shown.page


def test_task_logs_read_like_a_report(shown):
    evaluated = shown.log("retrain", shown.run_id("retrain"), "evaluate_challenger")
    waited = shown.log("retrain", shown.run_id("retrain"), "wait_for_data")

    assert "::group::Gates" in evaluated
    assert "roc_auc over the linear baseline" in evaluated
    assert "no champion yet" in evaluated
    assert "judge on     2013-06-17 .. 2013-06-30 (14 days)" in waited


def test_running_every_task_again_changes_nothing(shown):
    kept = ("examples", "predictions", "ledger", "reports", "evaluations")
    before = shown.version_tags(), shown.champion(), shown.bytes_of(*kept)

    for workflow in ("retrain", "score", "monitor"):
        run_id = shown.run_id(workflow)
        shown.stack.api.clear(f"flight_delay__{workflow}", run_id)
        wait_until(
            lambda w=workflow, r=run_id: {t["try_number"] for t in shown.tasks(w, r)} == {2},
            within_s=300,
            what=f"the second try of every task of {workflow}",
        )
        shown.wait_for(workflow, run_id)

    assert before == (shown.version_tags(), shown.champion(), shown.bytes_of(*kept))
