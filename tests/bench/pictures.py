"""
Make the pictures of the docs: the present pages, with two months of the sample behind them.

Two pictures have a bench of their own: the backtest (tests/bench/backfill.py) and the monitored
year (tests/bench/monitored_year.py).

The nights and days of the past are real ones, made in process; the last night, its approval, score
and monitor run through a real Airflow and are looked at in Chromium. `make docs`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, expect  # noqa: E402
from rich.console import Console  # noqa: E402
from tests.support.browser import logged_in  # noqa: E402
from tests.support.project import copy_code  # noqa: E402
from tests.support.servers import wait_until  # noqa: E402
from tests.support.stack import Stack, running_stack  # noqa: E402

from evergreen.storage import layout  # noqa: E402
from evergreen.storage.folder import FolderStore  # noqa: E402
from evergreen_airflow.embedded.runs import run_dag  # noqa: E402
from evergreen_airflow.embedded.settings import Settings, ensure_secrets  # noqa: E402

MODEL, RUN = "flight_delay", "night-2013-06-24"
OUT = ROOT / "docs" / "pictures"
#: The nights that were retrained before the last one, and the days that were monitored.
RETRAINED = [datetime(2013, 5, 6, 6, tzinfo=UTC) + timedelta(days=7 * n) for n in range(7)]
#: A night whose challenger passes every gate, so that a person is asked.
LAST = datetime(2013, 6, 24, 6, tzinfo=UTC)
MONITORED_DAYS = 30


def main() -> None:
    """Run the stack, leave the past behind, run the last night and look at every page."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        on = {"EVERGREEN_SERVING": "on", "EVERGREEN_SERVING_REPLICA": "model-server-1"}
        with running_stack(EVERGREEN_PROJECT=str(project), **on) as stack:
            leave_past(stack, project)
            with logged_in(stack.settings, password=stack.password) as page:
                take_all(stack, page)


def copy_project(root: Path) -> Path:
    """Copy what Airflow reads; the sample asks a person before it promotes."""
    copy_code(root)
    path = root / "include" / "models" / MODEL / "model.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["deployment"] = {"target": "batch", "approval": {"required": True}}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return root


def leave_past(stack: Stack, project: Path) -> None:
    """Land the days and make the past, in a process that finds the project's models first."""
    folders = (project / "include", project / "plugins", ROOT)
    asked = {"store": str(stack.settings.store), "mlflow": stack.settings.mlflow_url}
    subprocess.run(
        [sys.executable, "-m", "tests.bench.pictures", json.dumps(asked)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
        cwd=project,
        check=True,
    )


def make_past(asked: dict[str, str]) -> None:
    """Retrain each Monday, score and monitor every day from the first day that has limits."""
    from mlflow import MlflowClient
    from tests.support.monitored import monitor_day
    from tests.support.night import Night

    from evergreen.spec import load_spec
    from models.flight_delay import feed

    store = FolderStore(Path(asked["store"]))
    client = MlflowClient(asked["mlflow"], asked["mlflow"])
    spec = load_spec(MODEL)
    spec = spec.model_copy(
        update={"deployment": spec.deployment.model_copy(update={"approval": no_approval(spec)})}
    )
    start, end = date(2013, 1, 2), LAST.date()
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    feed.land_days(store, days, replace=frozenset())
    monitored = LAST - timedelta(days=MONITORED_DAYS)
    as_of = RETRAINED[0]
    while as_of < LAST:
        if as_of in RETRAINED:
            night = Night(store, client, spec, as_of=as_of)
            print(f"{as_of:%Y-%m-%d} {night.deployment(now=as_of).reason}", flush=True)
        if as_of >= monitored:
            health, _ = monitor_day(night.workspace, as_of)
            print(f"{health.day} {health.colour}", flush=True)
        as_of += timedelta(days=1)


def no_approval(spec):
    return spec.deployment.approval.model_copy(update={"required": False})


def take_all(stack: Stack, page: Page) -> None:
    """Run the last night, and take each picture when its page is as a reader will see it."""
    url, api = stack.settings.airflow_url, stack.api
    console = Console(file=stack.page, width=200)
    dag_id = f"{MODEL}__retrain"
    wait_until(lambda: api.has_dag(dag_id), within_s=120, what=dag_id)
    page.goto(f"{url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    expect(page.get_by_role("dialog").first.get_by_text("Run Parameters")).to_be_visible()
    take(page, "trigger_form")
    api.trigger(dag_id, run_id=RUN, conf={"as_of": LAST.isoformat()})
    wait_until(
        lambda: state(stack, "approve_promotion") == "awaiting_input", within_s=600, what=RUN
    )
    page.wait_for_timeout(2_000)
    page.goto(
        f"{url}/dags/{dag_id}/runs/{RUN}/tasks/approve_promotion/required_actions?map_index=-1"
    )
    page.wait_for_timeout(3_000)
    take(page, "approval")
    approve(stack)
    wait_until(lambda: api.state(dag_id, RUN) == "success", within_s=300, what=RUN)
    after = (LAST + timedelta(days=1)).isoformat()
    for workflow in ("score", "monitor"):
        run_id, conf = f"{workflow}-{LAST:%Y-%m-%d}", {"as_of": after}
        run_dag(api, f"{MODEL}__{workflow}", run_id=run_id, conf=conf, console=console)
    take_airflow_pages(page, url, dag_id)
    take_stored_pages(stack, page)


def state(stack: Stack, task_id: str) -> str | None:
    tasks = stack.api.tasks(f"{MODEL}__retrain", RUN)
    return next((t["state"] for t in tasks if t["task_id"] == task_id), None)


def approve(stack: Stack) -> None:
    body = {"chosen_options": ["Approve"], "params_input": {"message": "better on every slice"}}
    task = "taskInstances/approve_promotion/-1/hitlDetails"
    answer = stack.api.http.patch(f"/dags/{MODEL}__retrain/dagRuns/{RUN}/{task}", json=body)
    answer.raise_for_status()


def take_airflow_pages(page: Page, url: str, dag_id: str) -> None:
    """Take the pages that are inside Airflow."""
    inside = page.frame_locator("iframe")
    page.goto(f"{url}/plugin/models")
    expect(inside.get_by_role("row", name=MODEL)).to_be_visible()
    take(page, "models")
    inside.get_by_role("link", name=MODEL, exact=True).click()
    expect(inside.locator("#drift .main-svg").first).to_be_visible()
    take(page, "model")
    page.goto(f"{url}/dags/{dag_id}/runs/{RUN}")
    page.get_by_role("link", name="Evidence", exact=True).click()
    expect(inside.locator("h1")).to_be_visible()
    take(page, "run_evidence")
    take_graph_and_log(page, f"{url}/dags/{dag_id}/runs/{RUN}")


def take_graph_and_log(page: Page, run_url: str) -> None:
    """Take the graph of a run and the log of its evaluation, with all groups open."""
    page.goto(run_url)
    page.get_by_role("button", name="Show Graph (Press g)").first.click()
    expect(page.get_by_text("challenger", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Expand all task groups").first.click()
    expect(page.get_by_text("deploy_model", exact=True).first).to_be_visible()
    page.wait_for_timeout(3_000)
    take(page, "retrain_graph")
    page.goto(f"{run_url}/tasks/evaluate_challenger")
    groups = ("Candidates on the validation days", "Gates")
    expect(page.get_by_text(groups[-1]).first).to_be_visible()
    for group in groups:
        page.get_by_text(group).first.click()
    take(page, "task_log")


def take_stored_pages(stack: Stack, page: Page) -> None:
    """Take the pages that lie in the store, as they are, and the index of the model server."""
    registration = stack.api.receipt(f"{MODEL}__retrain", RUN, "register_model")
    drift = stack.api.receipt(f"{MODEL}__retrain", RUN, "report_drift")
    health = layout.health_folder(MODEL, LAST.date())
    page.set_viewport_size({"width": 1180, "height": 1500})
    for name, key in (
        ("evidence", registration["evidence"]),
        ("health", f"{health}/{layout.HEALTH_PAGE}"),
        ("drift_report", drift["html"]["key"]),
    ):
        page.goto(f"file://{stack.settings.store / key}")
        page.wait_for_timeout(4_000)
        take(page, name)
    take_model_server(stack.settings, page)


def take_model_server(settings: Settings, page: Page) -> None:
    """Take the index of the model server, whose token a browser sends as a password."""
    token = ensure_secrets(settings)[0]["serving_token"]
    assert page.context.browser is not None
    index = page.context.browser.new_page(
        viewport={"width": 1180, "height": 700},
        http_credentials={"username": "reader", "password": token},
    )
    index.goto(settings.serving_url)
    take(index, "model_server")


def take(page: Page, name: str) -> None:
    page.wait_for_timeout(500)
    page.screenshot(path=str(OUT / f"{name}.png"))
    print(name, flush=True)


if __name__ == "__main__":
    make_past(json.loads(sys.argv[1])) if len(sys.argv) > 1 else main()
