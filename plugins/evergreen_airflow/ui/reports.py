"""Which stored page shows what a run or a task did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: For each task that has one: the page's key in the store, read from its receipt.
PAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "report_drift": lambda receipt: str(receipt["html"]["key"]),
    "detect_drift": lambda receipt: str(receipt["report"]["html"]["key"]),
    "register_model": lambda receipt: str(receipt["evidence"]),
    "assess_health": lambda receipt: str(receipt["page"]),
    "backtest_champion": lambda receipt: str(receipt["plot"]["key"]),
}
#: The task whose report is drawn from what it handed on.
CONTRACT = "validate_data"
#: The task of each workflow whose page tells the whole run.
TELLING = {
    "retrain": "register_model",
    "monitor": "assess_health",
    "backtest": "backtest_champion",
}
#: The folder of pages that need script.
SCRIPTED = "reports"
#: Folders of pages that may be shown, below each of which a model has its own.
FOLDERS = (SCRIPTED, "evidence", "monitoring")
#: The folder of plots, which are images.
PLOTS = "backtests"


def model_of(dag_id: str) -> tuple[str, str]:
    """Return model and workflow of *dag_id*; both empty for a DAG that is no model's."""
    model, _, workflow = dag_id.rpartition("__")
    return model, workflow if model else ""


def may_show(model: str, key: str) -> bool:
    """Return whether *key* is a page of *model*."""
    owners = tuple(f"{folder}/{model}/" for folder in FOLDERS)
    is_plain = ".." not in key.split("/") and "//" not in key
    is_page = key.startswith(owners) and key.endswith(".html")
    is_plot = key.startswith(f"{PLOTS}/{model}/") and key.endswith(".png")
    return is_plain and (is_page or is_plot)
