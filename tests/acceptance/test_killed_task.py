"""Promise 4 in Airflow: a task that the kernel kills is done once, by its retry."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from evergreen.registry import mlflow_registry
from evergreen_airflow.embedded import processes
from evergreen_airflow.embedded.api import FINISHED
from tests.acceptance.conftest import Workflow, night


def test_a_task_killed_by_the_kernel_is_done_once_by_its_retry(workflow):
    """In Airflow: SIGKILL while a run of MLflow is open, as the out-of-memory killer would."""
    model = workflow("killed")
    for number in range(1, 6):
        run_id = f"night-{number}"
        model.stack.api.trigger(
            "killed__retrain", run_id=run_id, conf={"as_of": night(number).isoformat()}
        )
        hit = kill_while_training(model, run_id)
        model.wait_for_backfill("retrain")
        if hit:
            break
    else:
        pytest.fail("five nights were over before their training could be killed")

    tries = {
        t["try_number"] for t in model.tasks("retrain", run_id) if t["task_id"] == "train_candidate"
    }
    assert max(tries) == 2
    assert list(model.versions()) == [str(n) for n in range(1, number + 1)]
    assert model.errors() == []


def kill_while_training(model: Workflow, run_id: str) -> bool:
    """Kill the task processes once MLflow shows an open run; False if the night was faster."""
    while model.stack.api.state("killed__retrain", run_id) not in FINISHED:
        if mlflow_registry.running_since(model.client, "killed", before=datetime.now(UTC)):
            for process in processes.ours(model.stack.settings):
                title = " ".join(process.cmdline())
                if "LocalExecutor" in title and "<idle>" not in title:
                    for task in process.children():
                        task.kill()
            return bool(
                mlflow_registry.running_since(model.client, "killed", before=datetime.now(UTC))
            )
    return False
