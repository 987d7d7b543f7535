"""
One night through a real scheduler, and what may happen to it: a second try of every task, a day
that lands late, a broken partition, a backfill of its predictions.

`make demo`, the sample at its full size, is tested in tests/services/demo.py.
"""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console

from evergreen.errors import StackError
from evergreen_airflow.embedded import stack as embedded_stack
from models.flight_delay import feed
from tests.acceptance.conftest import NIGHTS, night, wait_until

KEPT = ("examples", "predictions", "ledger", "reports", "evaluations")


@pytest.fixture(scope="module")
def looped(workflow):
    """A champion of night 1, and the predictions of the first day that began after it."""
    model = workflow("looped")
    model.retrain(1)
    model.run("score", "score-3", as_of=night(3).isoformat())
    return model


def test_a_night_ends_with_a_champion_predictions_and_a_report(looped):
    assert looped.champion() == "1"
    assert [entry.step for entry in looped.ledger().entries] == ["intent", "outcome"]
    assert looped.bytes_of("predictions")
    assert looped.reports() == [f"{night(1):%Y-%m-%dT%H%M}"]
    assert looped.errors() == []


def test_task_logs_read_like_a_report(looped):
    evaluated = looped.log("retrain", "night-1", "evaluate_challenger")

    assert "::group::Gates" in evaluated
    assert "roc_auc over the linear baseline" in evaluated
    assert "no champion yet" in evaluated
    assert "judge on     2013-02-25 .. 2013-02-28 (4 days)" in looped.log(
        "retrain", "night-1", "wait_for_data"
    )


def test_a_second_up_is_harmless(looped):
    page = io.StringIO()

    embedded_stack.up(looped.stack.settings, Console(file=page, width=200))

    assert "up already" in page.getvalue()
    assert "password in" in page.getvalue()


def test_running_every_task_again_changes_nothing(looped):
    before = looped.version_tags(), looped.champion(), looped.bytes_of(*KEPT)
    runs = {"retrain": "night-1", "score": "score-3"}

    for workflow, run_id in runs.items():
        looped.stack.api.clear(f"looped__{workflow}", run_id)

    for workflow, run_id in runs.items():
        looped.wait_for(workflow, run_id)
        assert {t["try_number"] for t in looped.tasks(workflow, run_id)} == {2}
    assert before == (looped.version_tags(), looped.champion(), looped.bytes_of(*KEPT))


def test_a_backfill_of_scores_gives_the_same_bytes(looped):
    """Through Airflow's own backfill: the past is scored by the version that served then."""
    before = looped.bytes_of("predictions")

    looped.backfill("score", 3, 3)

    runs = [run["run_type"] for run in looped.runs("score")]
    assert runs.count("backfill") == 1
    assert looped.bytes_of("predictions") == before


def test_a_missing_day_waits_in_the_triggerer_and_goes_on_when_it_lands(looped):
    later = night(NIGHTS + 2)  # the days before it have not landed
    looped.start("score", "waits", as_of=later.isoformat())

    def waiting() -> bool:
        tasks = {t["task_id"]: t["state"] for t in looped.tasks("score", "waits")}
        return tasks["wait_for_data"] == "deferred"

    wait_until(waiting, within_s=180, what="wait_for_data to be deferred")
    days = [later.date() - timedelta(days=n) for n in (1, 2, 3)]
    feed.land_days(looped.store, days, replace=frozenset())

    looped.wait_for("score", "waits")


def test_a_broken_partition_fails_red_and_leaves_nothing_half_done(looped):
    as_of = night(NIGHTS + 3)  # its newest day is used by nothing else
    day = as_of.date() - timedelta(days=1)
    for table in ("flights", "weather"):
        looped.store.put(f"raw/{table}/{day}.parquet", b"not Parquet")
    before = looped.bytes_of("examples", "predictions")

    with pytest.raises(StackError) as error:
        looped.run("score", "broken", as_of=as_of.isoformat())

    failed = [t for t in looped.tasks("score", "broken") if t["state"] == "failed"]
    assert [(t["task_id"], t["try_number"]) for t in failed] == [("validate_data", 1)]  # no retry
    assert "are not a whole Parquet file" in str(error.value)
    assert looped.bytes_of("examples", "predictions") == before
