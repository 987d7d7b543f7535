"""Every route of our pages asks Airflow who it is, and whether they may read that DAG."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evergreen_airflow.ui.reports import may_show, model_of

ROUTES = """
import sys
sys.path[:0] = {path!r}
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from evergreen_airflow.ui.app import app

def calls(dependant):
    yield dependant.call
    for one in dependant.dependencies:
        yield from calls(one)

assert app.openapi_url is None and app.docs_url is None and app.redoc_url is None
routes = list(app.routes)
assert len(routes) >= 6
for route in routes:
    assert isinstance(route, APIRoute), f"{{route}} is no route with dependencies"
    found = list(calls(route.dependant))
    assert get_user in found, f"{{route.path}} asks nobody who they are"
    assert any("requires_access_dag" in getattr(c, "__qualname__", "") for c in found), route.path
    assert route.methods == {{"GET"}}, f"{{route.path}} changes something"
slow = ("pandas", "numpy", "sklearn", "mlflow", "plotly", "evidently")
heavy = [name for name in slow if name in sys.modules]
sys.exit(f"imported in the API server: {{heavy}}" if heavy else 0)
"""


def test_each_route_asks_who_it_is_and_only_reads():
    """Walked in a process of its own, for the API server's modules are imported nowhere else."""
    done = subprocess.run(
        [sys.executable, "-c", ROUTES.format(path=sys.path)], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("key", "is_shown"),
    [
        ("reports/m/2013-03-01T0600/abc.html", True),
        ("evidence/m/key/against-1/evidence.html", True),
        ("monitoring/m/2013-03-01/health.html", True),
        ("monitoring/m/2013-03-01/health.json", False),
        ("monitoring/other/2013-03-01/health.html", False),
        ("reports/m/../other/x.html", False),
        ("reports/m2/x.html", False),
        ("ledger/m/00000001.json", False),
        ("/etc/passwd.html", False),
        ("reports/m//x.html", False),
    ],
)
def test_only_pages_of_the_model_itself_are_shown(key, is_shown):
    assert may_show("m", key) is is_shown


def test_a_dag_of_no_model_has_none():
    assert model_of("churn__retrain") == ("churn", "retrain")
    assert model_of("my__model__monitor") == ("my__model", "monitor")
    assert model_of("flights_feed") == ("", "")
