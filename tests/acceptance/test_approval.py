"""
Promise 9: approve, reject, time out: only approve moves the alias; the ledger has the actor; pack
and logs hold no raw rows and no secrets. Through Airflow, answered on its own page in Chromium.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from evergreen.data.preparation import load_examples
from evergreen.receipts.data import ExamplesReceipt
from tests.acceptance.conftest import Workflow, night, wait_until
from tests.support.browser import chromium, logged_in


@pytest.fixture(scope="module")
def page(stack):
    chromium()
    with logged_in(stack.settings, password=stack.password) as page:
        yield page


def ask(model: Workflow, number: int, **conf) -> str:
    """Start a night and return its run when a person's word is awaited."""
    run_id = f"night-{number}"
    model.start("retrain", run_id, as_of=night(number).isoformat(), **conf)
    wait_until(lambda: model.can_be_answered(run_id), within_s=240, what="the question")
    return run_id


def answer(page: Page, model: Workflow, run_id: str, *, button: str, message: str) -> str:
    """Answer on Airflow's page as a person would; return what the page showed before."""
    page.goto(
        f"{model.stack.settings.airflow_url}/dags/{model.model}__retrain/runs/{run_id}"
        "/tasks/approve_promotion/required_actions?map_index=-1"
    )
    page.locator("[name=element_message]").fill(message)
    shown = page.inner_text("body")
    page.get_by_role("button", name=button, exact=True).click()
    model.wait_for("retrain", run_id)
    return shown


@pytest.fixture(scope="module")
def unanswered(workflow):
    """Only the boss may answer, and says nothing; admin tries. Time runs out by itself."""
    model = workflow("waited")
    run_id = ask(model, 1, candidates=["linear"])
    task = f"/dags/waited__retrain/dagRuns/{run_id}/taskInstances/approve_promotion/-1/hitlDetails"
    body = {"chosen_options": ["Approve"], "params_input": {"message": "I am not the boss"}}
    tried = model.stack.api.http.patch(task, json=body)
    return model, tried.status_code


@pytest.fixture(scope="module")
def asked(workflow, page, unanswered):
    """Night 1 is approved, night 2, which is better, is rejected."""
    model = workflow("asked")
    shown = {}
    for number, candidate, button, message in (
        (1, "poor", "Approve", "good enough to begin with"),
        (2, "linear", "Reject", "not on a Friday"),
    ):
        run_id = ask(model, number, candidates=[candidate])
        before = model.champion()
        shown[run_id] = answer(page, model, run_id, button=button, message=message)
        # Nothing moves while nobody has answered.
        assert before == (None if number == 1 else "1")
    return model, shown


@pytest.fixture(scope="module")
def waited(unanswered, asked):
    """The time for the boss's answer ran out while others were asked."""
    unanswered[0].wait_for("retrain", "night-1")
    return unanswered


def test_the_page_asks_with_the_key_numbers_and_the_way_to_the_evidence(asked, page):
    model, shown = asked
    evaluation = model.receipt("retrain", "night-2", "evaluate_challenger")

    assert "Promote asked version 2?" in shown["night-2"]
    assert f"{evaluation['metrics']['challenger']['roc_auc']:.4f}" in shown["night-2"]
    assert f"{evaluation['metrics']['champion']['roc_auc']:.4f}" in shown["night-2"]
    assert "The whole evidence pack" in shown["night-2"]


def test_the_link_shows_the_pack_inside_airflow(asked, page):
    model, _ = asked
    links = model.stack.api.get(
        "/dags/asked__retrain/dagRuns/night-2/taskInstances/register_model/links"
    )["extra_links"]

    assert links["Evidence"].startswith(f"{model.stack.settings.airflow_url}/dags/asked__retrain/")
    page.goto(links["Evidence"])
    pack = page.frame_locator("iframe").locator("h1")
    pack.wait_for()

    assert pack.inner_text() == "PROMOTE asked version 2"


def test_only_the_approved_one_serves(asked):
    model, _ = asked

    assert list(model.versions()) == ["1", "2"]
    assert model.champion() == "1"
    assert model.receipt("retrain", "night-1", "deploy_model")["moved"] is True
    held = model.receipt("retrain", "night-2", "deploy_model")
    assert (held["moved"], held["reason"]) == (False, "rejected by admin: not on a Friday")


def test_the_ledger_has_who_and_why(asked):
    model, _ = asked
    entries = [(e.step, e.version, e.actor.split(",")[0]) for e in model.ledger().entries]

    assert entries == [
        ("intent", "1", "admin"),
        ("outcome", "1", "admin"),
        ("refused", "2", "admin"),
    ]
    reasons = [entry.reason for entry in model.ledger().entries]
    assert reasons[0].endswith("approved by admin: good enough to begin with")
    assert reasons[2].endswith("rejected by admin: not on a Friday")
    assert model.errors() == []


def test_no_answer_in_time_is_a_no(waited):
    model, _ = waited
    held = model.receipt("retrain", "night-1", "deploy_model")

    assert model.champion() is None
    assert held["moved"] is False
    assert held["reason"] == "rejected by timeout, after 0.006 hours without an answer"
    entries = [(e.step, e.version, e.actor.split(",")[0]) for e in model.ledger().entries]
    assert entries == [("refused", "1", "timeout")]


def test_people_were_told_and_a_dead_connection_held_nothing_up(asked, hook):
    questions = [message for message in hook[1] if "asked" in message["title"]]

    titles = [message["title"] for message in questions]
    assert titles == ["Promote asked version 1?", "Promote asked version 2?"]
    assert "required_actions" in questions[1]["message"]
    log = asked[0].log("retrain", "night-2", "approve_promotion")
    assert "through connection nowhere" in log


def test_who_is_not_asked_cannot_answer(waited):
    assert waited[1] == 403


def test_pack_and_logs_hold_no_row_and_no_secret(asked, waited):
    secrets = json.loads((asked[0].stack.settings.home / "secrets.json").read_text())
    texts = {}
    for model, runs in ((asked[0], ("night-1", "night-2")), (waited[0], ("night-1",))):
        for run_id in runs:
            for task in model.tasks("retrain", run_id):
                lines = model.stack.api.log(f"{model.model}__retrain", run_id, task)
                texts[f"{model.model} {run_id} {task['task_id']}"] = "\n".join(lines)
        texts |= {
            k: model.store.get(k).decode() for k in model.store.list(f"evidence/{model.model}")
        }
    examples = ExamplesReceipt.model_validate(
        asked[0].receipt("retrain", "night-2", "prepare_examples")
    )
    rows = load_examples(
        asked[0].store, asked[0].spec, receipt=examples, segments=("fit", "validation", "test")
    )
    minutes = rows["scheduled_departure"].dt.strftime("%Y-%m-%dT%H:%M").unique()
    events = {minute for minute in minutes if not minute.endswith(("T00:00", "T06:00"))}

    assert len(texts) > 30
    assert len(events) > 500
    hidden = {str(value) for value in secrets.values() if isinstance(value, str)}
    assert hidden
    for where, text in texts.items():
        assert [s for s in hidden if s in text] == [], where
        assert [e for e in events if e in text or e.replace("T", " ") in text] == [], where
