"""
A run whose configuration holds an unknown key does nothing, whichever way it was started.

Through the real API server (which the form of the UI posts to), Airflow's command line and a
backfill. The failed runs are alerted, and are not called late afterwards.
"""

from __future__ import annotations

import json

import pytest

from evergreen_airflow.embedded.api import FINISHED
from tests.acceptance.conftest import LATE_AFTER_S, night, wait_until
from tests.acceptance.test_pages import newest_run, open_form, press_trigger
from tests.support.browser import logged_in

pytestmark = pytest.mark.first_in_lane  # its deadlines pass while other tests run

#: Every workflow with a mistake that a person makes, and the key that was meant.
MISTAKES = {
    "retrain": ({"asof": night(1).isoformat()}, "as_of"),
    "score": ({"as-of": night(1).isoformat()}, "as_of"),
    "monitor": ({"reasons": "a test"}, "reason"),
    "rollback": ({"versoin": 1, "dry_run": False}, "version"),
    "promote": ({"dryrun": False, "to": "prod"}, "dry_run"),
    "reproduce": ({"verison": 1}, "version"),
    "backtest": ({"frist": "2013-03-01"}, "first"),
    "housekeeping": ({"dryrun": False}, "dry_run"),
}
#: Workflows whose runs have a deadline.
WITH_DEADLINE = ("retrain", "score", "monitor", "promote", "housekeeping")


@pytest.fixture(scope="module")
def refused(workflow):
    """A model with nothing done; what each mistake would have done needs no more than that."""
    return workflow("refused")


def failures(refused, workflow: str, run_id: str) -> list[str]:
    """Wait for the end of a run, and return the log of each task that ran: all of them failed."""
    dag_id = f"refused__{workflow}"
    wait_until(
        lambda: refused.stack.api.state(dag_id, run_id) in FINISHED, within_s=180, what=run_id
    )
    assert refused.stack.api.state(dag_id, run_id) == "failed"
    tasks = refused.tasks(workflow, run_id)
    assert {t["state"] for t in tasks} <= {"failed", "upstream_failed"}
    ran = [t for t in tasks if t["state"] == "failed"]
    assert {t["try_number"] for t in ran} == {1}  # a verdict is not retried
    return ["\n".join(refused.stack.api.log(dag_id, run_id, task)) for task in ran]


def test_every_dag_refuses_an_unknown_key_before_anything_happens(refused):
    before = refused.bytes_of("ledger", "examples", "validation", "predictions", "decisions")
    for workflow, (conf, _) in MISTAKES.items():
        refused.start(workflow, "mistaken", **conf)

    for workflow, (conf, meant) in MISTAKES.items():
        (key,) = set(conf) - {"dry_run", "to"}
        for log in failures(refused, workflow, "mistaken"):
            assert f"unknown keys ['{key}']" in log
            assert f"did you mean '{meant}'?" in log

    after = refused.bytes_of("ledger", "examples", "validation", "predictions", "decisions")
    assert after == before
    assert refused.champion() is None


def test_so_does_a_run_from_the_command_line(refused):
    conf = json.dumps({"asof": night(1).isoformat()})
    refused.airflow("dags", "trigger", "refused__score", "--run-id", "by-hand", "--conf", conf)

    (log,) = failures(refused, "score", "by-hand")

    assert "unknown keys ['asof']" in log


def test_so_does_a_run_from_the_form(refused):
    """Typed into the form's own field for the whole configuration, in a real browser."""
    with logged_in(refused.stack.settings, password=refused.stack.password) as page:
        form = open_form(page, refused, "refused__rollback")
        form.get_by_text("Advanced Options").click()
        form.locator(".monaco-editor .view-lines").first.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(json.dumps({"versoin": 1, "dry_run": False}))
        page.keyboard.press("Control+Shift+End")  # brackets that the editor closed by itself
        page.keyboard.press("Delete")
        form.get_by_text("Configuration JSON").click()
        known = {run["dag_run_id"] for run in refused.runs("rollback")}
        press_trigger(page, form)
    run_id = newest_run(refused, "rollback", known=known)

    (log,) = failures(refused, "rollback", run_id)

    assert "unknown keys ['versoin']" in log


def test_so_does_every_run_of_a_backfill(refused):
    refused.start_backfill("score", 1, 2, "--dag-run-conf", json.dumps({"dryrun": True}))
    wait_until(
        lambda: (
            len(backfilled(refused)) == 2
            and all(run["state"] in FINISHED for run in backfilled(refused))
        ),
        within_s=180,
        what="two backfilled runs",
    )

    for run in backfilled(refused):
        (log,) = failures(refused, "score", run["dag_run_id"])
        assert "unknown keys ['dryrun']" in log


def backfilled(refused) -> list[dict]:
    return [run for run in refused.runs("score") if run["run_type"] == "backfill"]


def test_each_failure_was_alerted_with_reason_and_link(refused, hook):
    _, received = hook
    url = refused.stack.settings.airflow_url

    for workflow in MISTAKES:
        title = f"of refused__{workflow} failed"
        found = [one for one in received if title in one["title"]]
        assert found, workflow
        assert "AsOfError: The run's configuration has unknown keys" in found[0]["message"]
        assert f"{url}/dags/refused__{workflow}/runs/mistaken/tasks/" in found[0]["message"]
    assert not [one for one in received if "backfill" in one["message"] and "refused" in str(one)]


@pytest.mark.last_in_lane
def test_a_run_that_failed_is_not_called_late(refused, hook):
    """The deadline of each run passes, and Airflow calls what would send the alert."""
    _, received = hook

    def is_over() -> bool:
        count, left = refused.open_deadlines()
        return count >= len(WITH_DEADLINE) and left == 0

    wait_until(is_over, within_s=LATE_AFTER_S + 60, what="the deadlines of all failed runs")

    late = [
        one["title"]
        for one in received
        if one["title"].startswith("refused: ") and "is late" in one["title"]
    ]
    assert late == []
