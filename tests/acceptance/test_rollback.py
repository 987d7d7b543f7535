"""
Promise 5: promote v1, reject v2, promote v3, roll back -> v1; v1 corrupt -> rollback refused, v3
serves. Through Airflow, with real gates: v1 sees only the hour, v2 is v1 again, v3 sees everything.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from evergreen.errors import StackError
from tests.acceptance.conftest import night


@pytest.fixture(scope="module")
def returned(workflow):
    """Three nights of the past, made without Airflow."""
    model = workflow("returned")
    nights = model.past((1, "poor"), (2, "poor"), (3, "linear"))
    assert [receipt["moved"] for receipt in nights] == [True, False, True]
    return model


@contextmanager
def damaged(model, version: str) -> Iterator[None]:
    """One byte of a version's artifact is another one, as after a bad disk or a bad hand."""
    model_id = model.version_tags()[version]["evergreen.model_id"]
    (path,) = (model.stack.settings.home / "mlflow-artifacts").rglob(f"{model_id}/**/model.skops")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        yield
    finally:
        path.write_bytes(whole)


def test_the_better_one_is_promoted_and_an_equal_one_is_not(returned):
    assert list(returned.versions()) == ["1", "2", "3"]
    assert [e.version for e in returned.ledger().outcomes] == ["1", "3"]
    assert returned.champion() == "3"


def test_past_days_are_scored_by_the_champion_of_the_day(returned):
    """Night 2 scores the day before it, which began after v1 and before v3 was promoted."""
    returned.backfill("score", 3, 5, "--max-active-runs", "3")

    versions = {}
    for key in returned.store.list("predictions/returned/"):
        if key.endswith("/manifest.json"):
            content = json.loads(returned.store.get(key))
            versions[content["day"]] = content["version"]

    assert versions == {"2013-03-02": "1", "2013-03-03": "1", "2013-03-04": "3"}


def test_a_rollback_tries_itself_first(returned):
    returned.run("rollback", "try")

    assert returned.receipt("rollback", "try", "roll_back_model")["version"] == "1"
    assert "Dry run: version 1 would serve" in returned.log("rollback", "try", "roll_back_model")
    assert returned.champion() == "3"


def test_a_corrupt_target_is_refused_and_the_champion_serves_on(returned):
    with damaged(returned, "1"), pytest.raises(StackError, match="was changed after it was"):
        returned.run("rollback", "corrupt", dry_run=False)

    (task,) = returned.tasks("rollback", "corrupt")
    assert (task["state"], task["try_number"]) == ("failed", 1)  # a verdict is not retried
    assert returned.champion() == "3"
    assert returned.errors() == []


def test_a_version_that_never_served_is_refused(returned):
    with pytest.raises(StackError, match="version 2 never served and version 2 missed a gate"):
        returned.run("rollback", "never", version=2, dry_run=False)

    assert returned.champion() == "3"


def test_back_to_the_version_that_really_served(returned):
    since = night(5) + timedelta(hours=1)
    returned.run(
        "rollback",
        "back",
        dry_run=False,
        reason="too many false alarms",
        serves_from=since.isoformat(),
    )

    last = returned.ledger().entries[-1]
    assert returned.champion() == "1"
    assert (last.action, last.step, last.version, last.previous) == (
        "rollback",
        "outcome",
        "1",
        "3",
    )
    assert last.reason == "too many false alarms"
    assert last.actor == "airflow run returned__rollback back by admin"
    assert returned.errors() == []


def test_a_cleared_rollback_does_not_go_back_again(returned):
    """Only two versions were champion, so going back once more would even fail."""
    before = returned.ledger().entries

    returned.stack.api.clear("returned__rollback", "back")
    returned.wait_for("rollback", "back")

    assert returned.ledger().entries == before
    assert returned.champion() == "1"
    receipt = returned.receipt("rollback", "back", "roll_back_model")
    assert (receipt["version"], receipt["previous"], receipt["moved"]) == ("1", "3", True)
    assert returned.errors() == []


def test_after_the_rollback_new_days_are_scored_by_v1_and_old_ones_as_before(returned):
    before = returned.store.get("predictions/returned/2013-03-04/manifest.json")
    returned.backfill("score", 5, 6, "--reprocess-behavior", "completed")

    scored = json.loads(returned.store.get("predictions/returned/2013-03-05/manifest.json"))
    assert scored["version"] == "1"
    assert returned.store.get("predictions/returned/2013-03-04/manifest.json") == before


def test_clearing_the_night_that_made_it_does_not_bring_it_back(returned):
    returned.retrain(3, run_id="again", candidates=["linear"])

    receipt = returned.receipt("retrain", "again", "deploy_model")
    assert receipt["reason"] == "it was rolled back; only the rollback DAG can bring it back"
    assert returned.champion() == "1"


def test_a_hand_moved_alias_stops_promotion_and_is_named(returned):
    returned.client.set_registered_model_alias("returned", "champion", "3")

    assert "the alias is where the ledger put it: alias at version 3, ledger says 1" in (
        returned.errors()
    )
    with pytest.raises(StackError, match="moved by hand: it is at version 3, the ledger says"):
        returned.retrain(9, candidates=["linear"])

    returned.run("rollback", "settle", version=1, dry_run=False, reason="settled")
    assert returned.champion() == "1"
    assert returned.errors() == []
