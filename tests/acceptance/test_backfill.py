"""
Promise 3: champion at day 10, backfill days 1-5: alias unchanged, 5 versions, 5 reports; reprocess:
still 5. Through Airflow's own command line and scheduler, in parallel.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import night

KEPT = ("examples", "evaluations", "identities", "ledger", "reports", "candidates")


@pytest.fixture(scope="module")
def replayed(workflow):
    """Night 10 has a champion; then nights 1 to 5 are replayed side by side."""
    model = workflow("replayed")
    model.retrain(10)
    assert model.champion() == "1"
    model.backfill("retrain", 1, 5, "--max-active-runs", "3")
    return model


def backfilled(model) -> list[str]:
    return [r["dag_run_id"] for r in model.runs("retrain") if r["run_type"] == "backfill"]


def test_the_past_registers_itself_and_leaves_the_champion_alone(replayed):
    assert replayed.champion() == "1"
    assert sorted(replayed.versions().values()) == [
        *(night(n).isoformat() for n in range(1, 6)),
        night(10).isoformat(),
    ]
    assert sorted(replayed.reports()) == [
        *(f"{night(n):%Y-%m-%dT%H%M}" for n in range(1, 6)),
        f"{night(10):%Y-%m-%dT%H%M}",
    ]
    assert [e.version for e in replayed.ledger().outcomes] == ["1"]
    assert replayed.errors() == []


def test_each_past_night_says_that_it_is_history(replayed):
    reasons = {
        replayed.receipt("retrain", run, "deploy_model")["reason"] for run in backfilled(replayed)
    }

    assert len(backfilled(replayed)) == 5
    assert reasons <= {
        "it is history: a champion knew the world up to 2013-03-10 06:00",
        "it missed a gate, the champion stays",
    }
    assert any(reason.startswith("it is history") for reason in reasons)


def test_a_past_night_is_not_judged_against_a_champion_of_its_future(replayed):
    judged = [replayed.receipt("retrain", r, "evaluate_challenger") for r in backfilled(replayed)]

    assert {receipt["champion_version"] for receipt in judged} == {None}


def test_backfills_have_a_pool_of_their_own(replayed):
    pools = {t["pool"] for run in backfilled(replayed) for t in replayed.tasks("retrain", run)}

    assert pools == {"evergreen_backfill"}
    assert {t["pool"] for t in replayed.tasks("retrain", "night-10")} == {"default_pool"}


def test_reprocessing_changes_nothing_and_never_delays_a_nightly_run(replayed):
    """Airflow clears the finished runs and makes every task of them again."""
    before = (replayed.version_tags(), replayed.champion(), replayed.bytes_of(*KEPT))

    replayed.start_backfill(
        "retrain", 1, 5, "--reprocess-behavior", "completed", "--max-active-runs", "5"
    )
    replayed.retrain(10, run_id="tonight")  # the work is done; only its place in line counts
    waiting = [run for run in replayed.runs("retrain") if run["state"] not in ("success", "failed")]
    replayed.wait_for_backfill("retrain")

    assert waiting, "the nightly run was meant to overtake the backfill"
    tries = {t["try_number"] for r in backfilled(replayed) for t in replayed.tasks("retrain", r)}
    assert tries == {2}
    assert {t["pool"] for t in replayed.tasks("retrain", "tonight")} == {"default_pool"}
    assert before == (replayed.version_tags(), replayed.champion(), replayed.bytes_of(*KEPT))
    assert replayed.errors() == []
