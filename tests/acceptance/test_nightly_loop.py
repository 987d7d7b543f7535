"""The whole loop on the embedded stack: real scheduler, triggerer, MLflow and flights."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from mlflow import MlflowClient
from rich.console import Console

from evergreen.errors import StackError
from evergreen.registry import ledger as ledger_store
from evergreen.storage.folder import FolderStore
from evergreen_airflow.embedded import database, demo, stack
from evergreen_airflow.embedded.api import FINISHED, AirflowApi
from evergreen_airflow.embedded.runs import run_dag
from tests.conftest import wait_until

AS_OF = datetime(2013, 7, 1, tzinfo=UTC)
MODEL = "flight_delay"


class Loop:
    """The running stack after one demo, and questions to it."""

    def __init__(self, settings, api: AirflowApi, page: str) -> None:
        self.settings, self.api, self.page = settings, api, page
        self.store = FolderStore(settings.store)
        self.client = MlflowClient(settings.mlflow_url, settings.mlflow_url)

    def run_id(self, workflow: str) -> str:
        runs = self.api.get(f"/dags/{MODEL}__{workflow}/dagRuns")["dag_runs"]
        return next(str(run["dag_run_id"]) for run in runs if run["dag_run_id"].startswith("demo"))

    def bytes_below(self, *prefixes: str) -> dict[str, bytes]:
        return {key: self.store.get(key) for p in prefixes for key in self.store.list(p)}

    def versions(self) -> list[tuple[str, tuple]]:
        found = self.client.search_model_versions(f"name = '{MODEL}'")
        return sorted((v.version, tuple(sorted(v.tags.items()))) for v in found)

    def champion(self) -> str:
        return self.client.get_model_version_by_alias(MODEL, "champion").version

    def log(self, workflow: str, task_id: str) -> str:
        dag_id, run_id = f"{MODEL}__{workflow}", self.run_id(workflow)
        task = next(t for t in self.api.tasks(dag_id, run_id) if t["task_id"] == task_id)
        return "\n".join(self.api.log(dag_id, run_id, task))


@pytest.fixture(scope="module")
def loop(stack) -> Loop:
    page = io.StringIO()
    console = Console(file=page, width=200)
    demo.run_demo(stack.settings, password=stack.password, as_of=AS_OF, console=console)
    return Loop(stack.settings, stack.api, page.getvalue())


def test_the_demo_ends_with_a_champion_predictions_and_a_report(loop):
    assert loop.champion() == "1"
    assert [e.step for e in ledger_store.read_ledger(loop.store, MODEL).entries] == [
        "intent",
        "outcome",
    ]
    assert list(loop.bytes_below(f"predictions/{MODEL}/"))
    assert [key for key in loop.bytes_below(f"reports/{MODEL}/") if key.endswith(".html")]
    assert list(loop.bytes_below("monitoring/flight_delay/2013-07-01/health.html"))


def test_the_summary_shows_the_champion_beside_the_baseline(loop):
    lines = [line for line in loop.page.splitlines() if "challenger" in line or "baseline" in line]

    assert any(line.split("│")[2].strip() == "0.5000" for line in lines)
    assert "champion" in loop.page
    assert "Drift report" in loop.page
    assert "Health page" in loop.page
    assert "labels: none are due yet" in loop.page


def test_the_champion_answers_over_http(loop):
    assert f"Served by     {loop.settings.serving_url}  version 1" in loop.page


def test_task_logs_read_like_a_report(loop):
    judged = loop.log("retrain", "evaluate_challenger")

    assert "::group::Gates" in judged
    assert "roc_auc over the linear baseline" in judged
    assert "no champion yet" in judged
    assert "judge on     2013-06-24 .. 2013-06-30 (7 days)" in loop.log("retrain", "wait_for_data")


def test_a_second_up_is_harmless(loop):
    page = io.StringIO()

    stack.up(loop.settings, Console(file=page, width=200))

    assert "up already" in page.getvalue()
    assert "password in" in page.getvalue()


def test_running_every_task_again_changes_nothing(loop):
    before = (
        loop.versions(),
        loop.champion(),
        loop.bytes_below("examples/", "predictions/", "ledger/", "reports/", "evaluations/"),
    )

    for workflow in ("retrain", "score", "monitor"):
        dag_id, run_id = f"{MODEL}__{workflow}", loop.run_id(workflow)
        loop.api.clear(dag_id, run_id)
        wait_until(
            lambda d=dag_id, r=run_id: loop.api.state(d, r) in FINISHED, within_s=300, what=dag_id
        )
        assert loop.api.state(dag_id, run_id) == "success"
        assert {t["try_number"] for t in loop.api.tasks(dag_id, run_id)} == {2}

    assert before == (
        loop.versions(),
        loop.champion(),
        loop.bytes_below("examples/", "predictions/", "ledger/", "reports/", "evaluations/"),
    )


def test_a_missing_day_waits_in_the_triggerer_and_goes_on_when_it_lands(loop):
    later = AS_OF + timedelta(days=3)
    dag_id, run_id = f"{MODEL}__score", "e2e__waits"
    loop.api.trigger(dag_id, run_id=run_id, conf={"as_of": later.isoformat()})

    def waiting() -> bool:
        tasks = loop.api.tasks(dag_id, run_id)
        return [t["state"] for t in tasks if t["task_id"] == "wait_for_data"] == ["deferred"]

    wait_until(waiting, within_s=180, what="wait_for_data to be deferred")
    quiet = Console(file=io.StringIO())
    run_dag(
        loop.api,
        "flights_feed",
        run_id="e2e__lands",
        conf={"as_of": later.isoformat()},
        console=quiet,
    )
    wait_until(
        lambda: loop.api.state(dag_id, run_id) in FINISHED, within_s=120, what="the score run"
    )

    assert loop.api.state(dag_id, run_id) == "success"


def test_a_broken_partition_fails_red_and_leaves_nothing_half_done(loop):
    day = AS_OF + timedelta(days=3)  # landed by the test before, used by nothing else
    as_of = day + timedelta(days=1)
    loop.store.put(f"raw/flights/{day:%Y-%m-%d}.parquet", b"not Parquet")
    loop.store.put(f"raw/weather/{day:%Y-%m-%d}.parquet", b"not Parquet")
    before = loop.bytes_below("examples/", "predictions/")
    dag_id, run_id = f"{MODEL}__score", "e2e__broken"

    with pytest.raises(StackError) as error:
        run_dag(
            loop.api,
            dag_id,
            run_id=run_id,
            conf={"as_of": as_of.isoformat()},
            console=Console(file=io.StringIO()),
        )

    failed = [t for t in loop.api.tasks(dag_id, run_id) if t["state"] == "failed"]
    assert [(t["task_id"], t["try_number"]) for t in failed] == [("validate_data", 1)]  # no retry
    assert "are not a whole Parquet file" in str(error.value)
    assert loop.bytes_below("examples/", "predictions/") == before


def test_a_backfill_of_scores_gives_the_same_bytes(loop):
    """Through Airflow's own backfill: the past is scored by the version that served then."""
    if not database.choose(loop.settings).is_postgres:
        pytest.skip("no PostgreSQL programs on this machine; backfills are refused on SQLite")
    before = loop.bytes_below("predictions/flight_delay/2013-07-01/")
    dag_id = f"{MODEL}__score"
    # The schedule's days begin at 06:00, so this is the one interval that ends on 2 July, 06:00.
    days = {"from_date": "2013-07-01T06:00:00Z", "to_date": "2013-07-01T06:00:00Z"}
    body = {"dag_id": dag_id, "reprocess_behavior": "none", "max_active_runs": 2, **days}

    answer = loop.api.http.post("/backfills", json=body)

    assert answer.is_success, answer.text
    wait_until(
        lambda: [r["state"] for r in backfills(loop, dag_id)] == ["success"],
        within_s=120,
        what="the backfilled run",
    )
    assert loop.bytes_below("predictions/flight_delay/2013-07-01/") == before


def backfills(loop, dag_id: str) -> list[dict]:
    runs = loop.api.get(f"/dags/{dag_id}/dagRuns")["dag_runs"]
    return [run for run in runs if run["run_type"] == "backfill"]
