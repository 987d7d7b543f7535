"""The nightly loop once, through the real scheduler, with a summary a person can check."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from evergreen.data.window import training_window
from evergreen.errors import StackError
from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.runs import run_dag
from evergreen_airflow.embedded.settings import Settings, ensure_secrets

MODEL = "flight_delay"
DATA_BEGINS = date(2013, 1, 1)
SERVED_WITHIN_S = 60
#: The tasks whose receipts the summary shows, by workflow.
SHOWN_TASKS = {
    "retrain": (
        "prepare_examples",
        "evaluate_challenger",
        "register_model",
        "deploy_model",
        "report_drift",
    ),
    "score": ("score_partition",),
    "monitor": ("assess_health",),
}


def run_demo(
    settings: Settings, *, password: str, as_of: datetime, console: Console
) -> dict[str, float]:
    """
    Land the days, retrain at *as_of*, score and watch the day after it; return seconds of each.

    :raises StackError: If a DAG cannot be parsed or any task of a run fails.
    """
    require_available_data(as_of)
    api = AirflowApi(settings, password=password)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    tomorrow = as_of + timedelta(days=1)
    steps = [
        ("flights_feed", tomorrow),  # the retrain's window and the day to score after it
        (f"{MODEL}__retrain", as_of),
        (f"{MODEL}__score", tomorrow),
        (f"{MODEL}__monitor", tomorrow),
    ]
    seconds = {}
    run_ids = {}
    for dag_id, instant in steps:
        run_ids[dag_id] = f"demo__{instant:%Y-%m-%d}__{stamp}"
        started = time.monotonic()
        conf = {"as_of": instant.isoformat(), "reason": "make demo"}
        run_dag(api, dag_id, run_id=run_ids[dag_id], conf=conf, console=console)
        seconds[dag_id] = time.monotonic() - started
    _summary(api, settings, run_ids, console)
    if settings.serving:
        served = _wait_until_served(settings)
        console.print(f"Served by     {settings.serving_url}  {served}", highlight=False)
    return seconds


def _wait_until_served(settings: Settings) -> str:
    """
    Return which version the model server answers with, as soon as it does.

    :raises StackError: If it does not within a minute.
    """
    token = ensure_secrets(settings)[0]["serving_token"]
    address = f"{settings.serving_url}/v2/models/{MODEL}/ready"
    give_up = time.monotonic() + SERVED_WITHIN_S
    while True:
        answer = httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        if answer.is_success:
            return f"version {answer.json()['version']}"
        if time.monotonic() > give_up:
            raise StackError(
                f"The model server does not answer for {MODEL}: {answer.text[:300]}. Its log is "
                f"{settings.logs}/model-server.log."
            )
        time.sleep(1)


def require_available_data(as_of: datetime) -> None:
    """
    Refuse a night whose window begins before the sample's data; it would wait for hours.

    :raises StackError: With the first night that has data.
    """
    spec = load_spec(MODEL)
    lookback = max(table.lookback_days for table in spec.raw_tables.values())
    first = training_window(as_of, spec.window).days.first - timedelta(days=lookback)
    if (short_days := (DATA_BEGINS - first).days) > 0:
        raise StackError(
            f"The night of {as_of:%Y-%m-%d} needs days from {first} on, and the sample's data "
            f"begins on {DATA_BEGINS}. Choose AS_OF={as_of + timedelta(days=short_days):%Y-%m-%d}"
            "T00:00:00Z or later."
        )


def _summary(
    api: AirflowApi, settings: Settings, run_ids: dict[str, str], console: Console
) -> None:
    receipts = {
        task: api.receipt(f"{MODEL}__{workflow}", run_ids[f"{MODEL}__{workflow}"], task)
        for workflow, tasks in SHOWN_TASKS.items()
        for task in tasks
    }
    dag_id = f"{MODEL}__retrain"
    evaluation, run_id = receipts["evaluate_challenger"], run_ids[dag_id]
    names = list(evaluation["metrics"]["challenger"])
    fitted = _candidates(api, dag_id, run_id)
    _table(
        console,
        "Candidates on the validation days",
        ("candidate", *names),
        [(c["candidate"], *(c["validation"][n] for n in names)) for c in fitted if c["validation"]],
    )
    _table(
        console,
        f"Evaluated on {evaluation['test_rows']} test rows that no tuning saw",
        ("model", *names),
        [
            (_called(who, evaluation), *(found[name] for name in names))
            for who, found in evaluation["metrics"].items()
        ],
    )
    _table(
        console,
        "Gates",
        ("gate", "measured", "required", "verdict"),
        [(g["name"], g["measured"], g["required"], g["status"]) for g in evaluation["gates"]],
    )
    _table(console, "What there is now", ("what", "value"), _state(receipts))
    # Addresses are printed whole: a table would cut them.
    for what, address in _addresses(settings, receipts, f"{dag_id}/runs/{run_id}"):
        console.print(f"{what}  {address}", highlight=False, soft_wrap=True)


def _candidates(api: AirflowApi, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    mapped = [
        t["map_index"] for t in api.tasks(dag_id, run_id) if t["task_id"] == "train_candidate"
    ]
    return [api.receipt(dag_id, run_id, "train_candidate", index) for index in sorted(mapped)]


def _state(receipts: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what there is after the runs, line by line."""
    examples, deployment = receipts["prepare_examples"], receipts["deploy_model"]
    scoring, health = receipts["score_partition"], receipts["assess_health"]
    return [
        ("examples", f"{examples['rows']} rows in {examples['days']} days"),
        ("known labels", ", ".join(f"{n} {k}" for k, n in examples["labelled"].items())),
        ("version", f"{deployment['version']}: {deployment['reason']}"),
        ("champion", f"version {deployment['champion_version']}"),
        ("predictions", f"{scoring['rows']} for {scoring['day']}, version {scoring['version']}"),
        ("drift", _drift_line(receipts["report_drift"])),
        ("health", f"{health['colour']} on {health['day']}: {_why(health)}"),
    ]


def _addresses(
    settings: Settings, receipts: dict[str, dict[str, Any]], retrain: str
) -> list[tuple[str, str]]:
    """Return where a person can look; *retrain* is the run in Airflow, with its DAG."""
    store, version = FolderStore(settings.store), receipts["deploy_model"]["version"]
    return [
        ("DAG run     ", f"{settings.airflow_url}/dags/{retrain}"),
        ("Model       ", f"{settings.mlflow_url}/#/models/{MODEL}/versions/{version}"),
        ("Evidence    ", store.url(receipts["register_model"]["evidence"])),
        ("Drift report", store.url(receipts["report_drift"]["html"]["key"])),
        ("Health page ", store.url(receipts["assess_health"]["page"])),
        ("Predictions ", store.url(receipts["score_partition"]["predictions"]["key"])),
    ]


def _why(health: dict[str, Any]) -> str:
    return "; ".join(health["reasons"]) or "nothing to do"


def _drift_line(drift: dict[str, Any]) -> str:
    beyond = sum(c.get("beyond_default_threshold", False) for c in drift["columns"].values())
    return (
        f"{beyond} of {len(drift['columns'])} columns beyond Evidently's default threshold "
        f"({drift['current_rows']} against {drift['reference_rows']} rows); "
        "a description, not an alarm"
    )


def _called(who: str, evaluation: dict[str, Any]) -> str:
    names = {
        "challenger": f"challenger ({evaluation['challenger']['candidate']})",
        "champion": f"champion (version {evaluation['champion_version']})",
    }
    return names.get(who, who)


def _table(
    console: Console, title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> None:
    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row))
    console.print(table)
