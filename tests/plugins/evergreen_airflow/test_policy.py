"""Backfills get a pool of their own, and their processes step back."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from evergreen_airflow.policy import task_instance_mutation_hook
from evergreen_airflow.supervision import BACKFILL_NICENESS, lower_priority


@pytest.fixture
def own_pool(monkeypatch):
    monkeypatch.setenv("AIRFLOW__EVERGREEN__BACKFILL_POOL", "backfills")


def pool_after(kind: str | None, *, pool: str = "default_pool") -> str:
    task = SimpleNamespace(pool=pool)
    task_instance_mutation_hook(task, kind and SimpleNamespace(run_type=kind))
    return task.pool


@pytest.mark.usefixtures("own_pool")
@pytest.mark.parametrize(
    ("kind", "pool", "expected"),
    [
        ("backfill", "default_pool", "backfills"),
        ("scheduled", "default_pool", "default_pool"),
        ("manual", "backfills", "default_pool"),  # a run that a backfill had taken over before
        ("backfill", "gpu", "gpu"),  # its author knew better
        (None, "default_pool", "default_pool"),
    ],
)
def test_only_backfills_go_into_their_pool(kind, pool, expected):
    assert pool_after(kind, pool=pool) == expected


def test_without_the_option_nothing_changes():
    """A pool that does not exist would let the task wait for ever."""
    assert pool_after("backfill") == "default_pool"


def test_a_backfilled_task_leaves_the_processor_to_others():
    child = os.fork()
    if child == 0:
        before = os.nice(0)
        lower_priority()
        os._exit(0 if os.nice(0) == min(before + BACKFILL_NICENESS, 19) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
