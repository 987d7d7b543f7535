"""Addresses of pages are inside Airflow, whatever a run is called."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import conf

from evergreen_airflow.links import page_url
from evergreen_airflow.ui.reports import PAGES, TELLING, may_show


@pytest.mark.parametrize("base", ["http://localhost:8080", "https://airflow.example/prefix/"])
def test_the_report_of_a_task_is_below_the_address_of_airflow(monkeypatch, base):
    monkeypatch.setattr(conf, "get", lambda *_, **__: base)
    ti = SimpleNamespace(
        dag_id="m__retrain", run_id="scheduled__2026-03-01T06:00:00+00:00", task_id="report_drift"
    )

    run = "m__retrain/runs/scheduled__2026-03-01T06%3A00%3A00%2B00%3A00"
    start = f"{base.rstrip('/')}/dags/{run}/tasks"
    assert page_url({"ti": ti}) == f"{start}/report_drift/plugin/report"
    assert page_url({"ti": ti}, "register_model") == f"{start}/register_model/plugin/report"


def test_the_plot_of_a_backtest_is_a_page_of_its_model():
    key = PAGES[TELLING["backtest"]]({"plot": {"key": "backtests/m/2026/abc.png"}})

    assert may_show("m", key)
    assert not may_show("other", key)
    assert not may_show("m", "backtests/m/2026/abc.csv")
    assert not may_show("m", "evidence/m/abc.png")
