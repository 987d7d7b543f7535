"""A person at work in Airflow's UI, from the list of models to a rollback, in a real Chromium."""

from __future__ import annotations

import httpx
import pandas as pd
import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.acceptance.conftest import HOSTILE, night, wait_until
from tests.conftest import ROOT
from tests.support.browser import chromium, logged_in

MODEL = "seen"
ROUTES = (
    "models",
    f"model/{MODEL}__retrain",
    f"run/{MODEL}__retrain/night-1",
    f"task/{MODEL}__retrain/night-1/report_drift/-1",
    "static/page.js",
    f"page/{MODEL}__retrain/reports/{MODEL}/x.html",
)


@pytest.fixture(scope="module")
def page(workflow):
    chromium()
    stack = workflow(MODEL).stack
    with logged_in(stack.settings, password=stack.password) as page:
        yield page


@pytest.fixture(scope="module")
def model(workflow):
    """A model whose first version a person approved."""
    found = workflow(MODEL)
    found.start("retrain", "night-1", as_of=night(1).isoformat(), candidates=["poor"])
    approve_by_api(found, "night-1")
    found.wait_for("retrain", "night-1")
    assert found.champion() == "1"
    return found


def wait_for_question(model, run_id: str) -> None:
    """Wait until a person is asked; a run that ends without a question says why not."""

    def is_asked() -> bool:
        tasks = {t["task_id"]: t["state"] for t in model.tasks("retrain", run_id)}
        ended = [task for task, state in tasks.items() if state in ("failed", "skipped")]
        assert not ended, "\n".join(model.log("retrain", run_id, task) for task in ended)
        if tasks.get("approve_promotion") == "success":
            pytest.fail(model.log("retrain", run_id, "approve_promotion"))
        return bool(model.can_be_answered(run_id))

    wait_until(is_asked, within_s=240, what="the question")


def approve_by_api(model, run_id: str) -> None:
    wait_for_question(model, run_id)
    task = "taskInstances/approve_promotion/-1/hitlDetails"
    body = {"chosen_options": ["Approve"], "params_input": {"message": "to begin with"}}
    answer = model.stack.api.http.patch(
        f"/dags/{MODEL}__retrain/dagRuns/{run_id}/{task}", json=body
    )
    assert answer.is_success, answer.text


def models_page(page: Page, model) -> FrameLocator:
    page.goto(f"{model.stack.settings.airflow_url}/plugin/models")
    inside = page.frame_locator("iframe")
    expect(inside.get_by_role("heading", name="Models")).to_be_visible()
    return inside


def open_form(page: Page, model, dag_id: str):
    page.goto(f"{model.stack.settings.airflow_url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog").first
    expect(form.get_by_text("Run Parameters")).to_be_visible()
    return form


def press_trigger(page: Page, form) -> None:
    form.get_by_role("button", name="Trigger", exact=True).last.click()
    expect(form).to_be_hidden(timeout=30_000)


def newest_run(model, workflow: str, *, known: set[str]) -> str:
    def new() -> set[str]:
        return {run["dag_run_id"] for run in model.runs(workflow)} - known

    wait_until(lambda: bool(new()), within_s=180, what=f"a run of {workflow}")
    return new().pop()


def test_from_the_list_of_models_to_a_rollback(page, model):
    """One person's whole way, each step by what the page offers."""
    # The list leads to the model, whose tables say who serves and why.
    inside = models_page(page, model)
    expect(inside.get_by_role("row", name=MODEL)).to_contain_text("version 1")
    inside.get_by_role("link", name=MODEL, exact=True).click()
    expect(inside.get_by_role("heading", name="Ledger")).to_be_visible()
    assert "approved by admin: to begin with" in inside.locator("body").inner_text()

    # The task's tab shows Evidently's report, drawn by its own script.
    settings = model.stack.settings
    page.goto(f"{settings.airflow_url}/dags/{MODEL}__retrain/runs/night-1/tasks/report_drift")
    page.get_by_role("link", name="Report", exact=True).click()
    report = page.frame_locator("iframe")
    expect(report.locator("body")).to_contain_text("It describes, it does not decide")
    kept = [data for key, data in model.bytes_of("reports").items() if key.endswith(".html")]
    assert b"top.owned=1" in kept[0]  # further down its table
    assert HOSTILE.encode() not in kept[0]

    # So does the contract's, and buttons lead to MLflow.
    page.goto(f"{settings.airflow_url}/dags/{MODEL}__retrain/runs/night-1/tasks/validate_data")
    page.get_by_role("link", name="Report", exact=True).click()
    contract = page.frame_locator("iframe")
    expect(contract.get_by_role("heading", name="The contract of seen holds")).to_be_visible()
    assert contract.get_by_role("row", name="flights: columns and types").count() == 1
    page.goto(f"{settings.airflow_url}/dags/{MODEL}__retrain/runs/night-1/tasks/register_model")
    page.get_by_role("link", name="Details", exact=True).click()
    for name, start in (("MLflow run", "/#/experiments/"), ("MLflow version", "/#/models/seen/")):
        button = page.get_by_role("link", name=name, exact=True)
        assert (button.get_attribute("href") or "").startswith(settings.mlflow_url + start)
    mapped = f"/dags/{MODEL}__retrain/dagRuns/night-1/taskInstances/train_candidate/links"
    links = model.stack.api.get(mapped, map_index=1)["extra_links"]
    assert links["MLflow run"].startswith(f"{settings.mlflow_url}/#/experiments/")

    # Retrain as of the next night, through the form.
    form = open_form(page, model, f"{MODEL}__retrain")
    form.get_by_text("Select date and time").click()
    day, hour = page.get_by_placeholder("YYYY/MM/DD").last, page.get_by_placeholder("HH:mm").last
    day.fill(f"{night(2):%Y/%m/%d}")
    day.press("Tab")
    hour.fill(f"{night(2):%H:%M}")
    hour.press("Enter")
    page.keyboard.press("Escape")
    expect(form.get_by_text(f"{night(2):%b %d, %Y %H:%M}")).to_be_visible()
    form.get_by_label("Remove poor").click()  # of the two candidates that the form offers
    press_trigger(page, form)
    run_id = newest_run(model, "retrain", known={"night-1"})
    wait_for_question(model, run_id)

    # What waits for a word stands on top of the list; its link leads to the answer.
    inside = models_page(page, model)
    expect(inside.get_by_text("Promote seen version 2?")).to_be_visible()
    inside.get_by_role("link", name="Answer").click()
    page.locator("[name=element_message]").fill("better than the hour alone")
    with page.expect_response(lambda r: r.request.method == "PATCH") as answer:
        page.get_by_role("button", name="Approve", exact=True).click()
    assert answer.value.ok, answer.value.text()
    wait_until(
        lambda: "awaiting_input" not in {t["state"] for t in model.tasks("retrain", run_id)},
        within_s=180,
        what="Airflow to take the answer",
    )
    model.wait_for("retrain", run_id)
    asked = [t for t in model.tasks("retrain", run_id) if t["task_id"] == "approve_promotion"]
    assert [t["try_number"] for t in asked] == [1]
    assert model.champion() == "2"
    assert list(model.versions().values())[-1].startswith(f"{night(2):%Y-%m-%d}")

    # The run's tab is its evidence pack.
    page.goto(f"{settings.airflow_url}/dags/{MODEL}__retrain/runs/{run_id}")
    page.get_by_role("link", name="Evidence", exact=True).click()
    heading = page.frame_locator("iframe").locator("h1")
    expect(heading).to_have_text("PROMOTE seen version 2")
    expect(page.frame_locator("iframe").locator("body")).to_contain_text(HOSTILE)

    # The run's graph reads as the story once its groups are open.
    page.goto(f"{settings.airflow_url}/dags/{MODEL}__retrain/runs/{run_id}?view=graph")
    for group in ("data", "challenger", "promotion"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()

    # And back again; moving nothing is the default.
    form = open_form(page, model, f"{MODEL}__rollback")
    form.locator("[name=element_reason]").fill("a person went back")
    assert form.locator("[name=element_dry_run]").is_checked()
    form.locator("[name=element_dry_run]").evaluate("box => box.click()")
    press_trigger(page, form)
    back = newest_run(model, "rollback", known=set())
    model.wait_for("rollback", back)
    assert model.champion() == "1"
    inside = models_page(page, model)
    inside.get_by_role("link", name=MODEL, exact=True).click()
    expect(inside.get_by_text("a person went back").first).to_be_visible()
    assert page.evaluate("window.owned") is None


def test_what_has_no_report_says_so_and_what_to_do(page, model):
    page.goto(
        f"{model.stack.settings.airflow_url}/dags/{MODEL}__retrain/runs/night-1"
        "/tasks/wait_for_data/plugin/report"
    )

    inside = page.frame_locator("iframe").locator("main")

    expect(inside).to_contain_text("wait_for_data has no report")
    expect(inside).to_contain_text("Its log tells what it did")


def test_keyboard_and_screen_reader_find_their_way(page, model):
    inside = models_page(page, model)

    assert inside.locator("html").get_attribute("lang") == "en"
    assert inside.locator("main").count() == 1
    assert inside.locator("th[scope=row]").count() >= 1
    inside.get_by_role("link", name=MODEL, exact=True).focus()
    page.keyboard.press("Enter")
    expect(inside.get_by_role("heading", name="Versions")).to_be_visible()
    charts = inside.locator(".chart")
    assert all(
        "table below has the same values" in chart.get_attribute("aria-label")
        for chart in charts.all()
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_readable(page, model, scheme):
    """Text and ground are far apart in both (WCAG asks for 4.5)."""
    page.emulate_media(color_scheme=scheme)
    inside = models_page(page, model)

    ink, paper = inside.locator("body").evaluate(
        "body => [getComputedStyle(body).color, getComputedStyle(body).backgroundColor]"
    )

    assert contrast(ink, paper) > 7
    page.emulate_media(color_scheme="light")


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""

    def luminance(text: str) -> float:
        parts = [int(p) / 255 for p in text[text.index("(") + 1 : -1].split(",")[:3]]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module")
def tokens(model) -> dict[str | None, str]:
    """Somebody without any role, and somebody who may look."""
    return {role: model.airflow_token(role=role) for role in (None, "VIEWER")}


@pytest.mark.parametrize("route", ROUTES)
def test_anonymous_gets_401_and_who_has_no_right_403(model, tokens, route):
    settings = model.stack.settings
    url = f"{settings.airflow_url}/evergreen/{route}"

    assert httpx.get(url, timeout=30).status_code == 401
    refused = httpx.get(url, headers={"Authorization": f"Bearer {tokens[None]}"}, timeout=30)
    assert refused.status_code == 403
    viewer = {"Authorization": f"Bearer {tokens['VIEWER']}"}
    shown = httpx.get(url, headers=viewer, timeout=30, follow_redirects=True)
    assert shown.status_code in (200, 404)


@pytest.mark.parametrize(
    "key",
    [
        "ledger/seen/00000001.json",
        "reports/watched/x.html",
        "reports/seen/../../secrets.json",
        "reports/seen/..%2F..%2Fsecrets.json",
        "reports/seen/%2e%2e/%2e%2e/secrets.html",
    ],
)
def test_no_other_object_is_given_out(model, key):
    answer = model.stack.api.http.get(
        f"{model.stack.settings.airflow_url}/evergreen/page/{MODEL}__retrain/{key}"
    )

    assert answer.status_code == 404


def test_evidently_would_run_what_the_sample_names_its_column(page, model, monkeypatch):
    """Not cleaned, the report of such data runs it; in our sandbox it does not."""
    from evergreen.reporting import (
        evidently_report,  # seconds, in every process that collects this module
    )

    rows = pd.DataFrame({HOSTILE: [1.0, 2.0, 3.0] * 40, "dest": ["ORD", HOSTILE, "BOS"] * 40})
    monkeypatch.setattr(evidently_report, "HARMLESS", {})
    kept = evidently_report.keep_report(
        model.store,
        folder=f"reports/{MODEL}/unclean",
        reference=rows,
        current=rows,
        note="",
        name="unclean",
        at=night(1),
    )
    unclean = model.store.get(kept.html.key).decode()
    inside = models_page(page, model)
    url = f"{model.stack.settings.airflow_url}/evergreen/page/{MODEL}__retrain/{kept.html.key}"

    with page.expect_response(url):
        inside.locator("body").evaluate("(_, url) => { location.href = url }", url)
    page.wait_for_timeout(2000)
    assert page.evaluate("window.owned") is None
    page.evaluate(
        "html => { const f = document.createElement('iframe'); f.srcdoc = html;"
        " document.body.append(f) }",
        unclean,
    )
    page.wait_for_function("window.owned === 1")


def test_a_hostile_page_in_the_store_runs_no_script_as_airflow(page, model):
    """Its script runs, as Evidently's must, but in an origin of its own; without the guard not."""
    store, settings = model.store, model.stack.settings
    key = f"reports/{MODEL}/hostile/x.html"
    attack = (
        "<h1>report</h1><script>try{parent.owned=true}catch(e){}"
        "fetch('/api/v2/dags').then(r=>{parent.postMessage('read','*')}).catch(()=>{})</script>"
    )
    store.put(key, attack.encode())
    url = f"{settings.airflow_url}/evergreen/page/{MODEL}__retrain/{key}"

    inside = models_page(page, model)
    results = "window.heard = []; addEventListener('message', e => heard.push(e.data))"
    page.evaluate(results)
    inside.locator("body").evaluate("(_, url) => { location.href = url }", url)
    expect(page.frame_locator("iframe").get_by_role("heading", name="report")).to_be_visible()
    page.wait_for_timeout(1000)

    assert page.evaluate("window.owned") is None
    assert page.evaluate("window.heard") == []
    # The same page without our headers would have been Airflow's own.
    page.goto(settings.airflow_url)
    page.evaluate(results)
    page.evaluate(
        "html => { const f = document.createElement('iframe'); f.srcdoc = html;"
        " document.body.append(f) }",
        attack,
    )
    page.wait_for_function("window.heard.includes('read')")
    assert page.evaluate("window.owned") is True


def test_hostile_names_stay_text_on_our_pages(page, model):
    """A reason, a column and an actor that are markup are shown as what they are."""
    store, settings = model.store, model.stack.settings
    day = "2013-03-09"
    store.put(f"monitoring/{MODEL}/{day}/health.json", hostile_day(day).encode())
    try:
        page.goto(f"{settings.airflow_url}/plugin/models")
        inside = page.frame_locator("iframe")
        expect(inside.locator("body")).to_contain_text("top.owned=1")
        inside.get_by_role("link", name=MODEL, exact=True).click()
        expect(inside.locator("#drift .main-svg").first).to_be_visible()
        page.wait_for_timeout(500)
        assert page.evaluate("window.owned") is None
        assert inside.locator("main img").count() == 0
    finally:
        store.delete(f"monitoring/{MODEL}/{day}/health.json")


def hostile_day(day: str) -> str:
    import json

    window = {"last": day, "metrics": {"roc_auc": 0.7}, "estimated": {"roc_auc": 0.7}}
    column = {"name": HOSTILE, "distance": 2, "usual": 1, "limit": 1}
    return json.dumps(
        {
            "format_version": 2,
            "day": day,
            "colour": "red",
            "reasons": [HOSTILE],
            "report": {
                "results": {
                    "quality": {"metric": "roc_auc", "windows": [window]},
                    "drift": {"columns": [column]},
                    "service": None,
                    "staleness": None,
                },
            },
        }
    )


def test_the_pictures_of_the_docs_are_of_these_pages():
    names = {path.stem for path in (ROOT / "docs" / "pictures").glob("*.png")}

    assert {"models", "model", "trigger_form", "run_evidence", "retrain_graph"} <= names
