"""
The stacks that take longer than `make test` may: schedules on, and the sample at its full size.

The hook, the small models and what a person asks of them are those of tests/acceptance.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workflow, copy_project, hook, stack_of
from tests.support.hooks import pager_to
from tests.support.stack import Stack

__all__ = ["hook"]

#: Airflow starts runs for events only where it starts them on time too; this time is far.
SELDOM = {"schedule": "0 6 29 2 *", "start_date": "2025-01-01"}
#: The models of the stack whose schedules are on.
SCHEDULED = {
    "watched": SELDOM
    | {
        "quality": {"window_days": 3, "lookback_days": 7, "min_rows": 100},
        "deployment": {"target": "server"},
        "service": {"p95_ms": 100, "max_skew": None},
        "scoring": {"sql": {"connection": "warehouse", "table": "public.said"}},
        "alerts": {"connections": ["pager"], "late_after_hours": 0.001},  # 3.6 s: all are late
    },
    "canaried": SELDOM
    | {
        "deployment": {
            "mode": "canary",
            "shadow": {"minutes": 0.05},
            "canary": {"steps": [{"share": 0.5, "minutes": 0.05}]},
            # "poor" and "linear" are far apart, and answers take long on a machine this busy.
            "limits": {"max_error_rate": 0.05, "max_p95_ms": 2000, "max_disagreement": 0.9},
        }
    },
}


@pytest.fixture(scope="package")
def scheduled_project(tmp_path_factory) -> Path:
    """A copy of what Airflow reads, without the sample: its schedules would start runs."""
    root = copy_project(tmp_path_factory.mktemp("scheduled"), SCHEDULED)
    shutil.rmtree(root / "include" / "models" / "flight_delay")
    (root / "dags" / "flights_feed.py").unlink()
    return root


@pytest.fixture(scope="package")
def scheduled_stack(airflow_services, scheduled_project, hook) -> Iterator[Stack]:
    """The stack whose schedules are on."""
    on = {"EVERGREEN_SCHEDULES": "on", "EVERGREEN_SERVING": "on"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_PAGER", pager_to(hook[0]))
        yield from stack_of(scheduled_project, more_days=38, **on)


@pytest.fixture(scope="package")
def scheduled_workflow(scheduled_stack, scheduled_project):
    """Return a model of the stack whose schedules are on, by its name."""
    return lambda model: Workflow(stack=scheduled_stack, project=scheduled_project, model=model)
