"""
Many models on few slots: one with a long night does not hold up the others.

What was broken to turn this red is in docs/promises.md.
"""

from __future__ import annotations

from airflow.dag_processing.dagbag import DagBag

from evergreen_airflow.embedded.settings import MODEL_SLOTS
from tests.acceptance.conftest import night, wait_until
from tests.conftest import ROOT


def running_fits(model, run_id: str) -> int:
    tasks = model.tasks("retrain", run_id)
    return sum(t["task_id"] == "train_candidate" and t["state"] == "running" for t in tasks)


def most_at_once(model, run_id: str) -> int:
    """The most tasks of a run that ran at one moment, by when each began and ended."""
    tasks = [t for t in model.tasks("retrain", run_id) if t["start_date"] and t["end_date"]]
    return max(
        sum(other["start_date"] <= one["start_date"] < other["end_date"] for other in tasks)
        for one in tasks
    )


def test_a_model_with_many_slow_candidates_leaves_a_slot_for_the_others(workflow):
    greedy, modest = workflow("greedy"), workflow("known")
    greedy.start("retrain", "long", as_of=night(1).isoformat())
    wait_until(lambda: running_fits(greedy, "long") == MODEL_SLOTS, within_s=180, what="the fits")

    modest.run("housekeeping", "meanwhile")

    assert running_fits(greedy, "long") > 0
    greedy.release()
    greedy.wait_for("retrain", "long")
    assert most_at_once(greedy, "long") == MODEL_SLOTS


def test_a_rollback_goes_before_everything_that_waits():
    weights: dict[str, set[int]] = {"rollback": set(), "others": set()}
    for dag_id, dag in DagBag(str(ROOT / "dags")).dags.items():
        kind = "rollback" if dag_id.endswith("__rollback") else "others"
        weights[kind] |= {task.priority_weight for task in dag.tasks}

    assert min(weights["rollback"]) > 10 * max(weights["others"])
