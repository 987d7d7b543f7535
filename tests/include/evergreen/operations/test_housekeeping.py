"""What is too old goes; what could be needed stays, whatever its age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.night import NOW, History

from evergreen.operations.housekeeping import MONITORED, apply_retention
from evergreen.operations.invariants import check_invariants
from evergreen.registry import mlflow_registry
from evergreen.spec.operations import Retention
from evergreen.workspace import Workspace

LATER = NOW + timedelta(days=4000)


@pytest.fixture
def old(new_history) -> History:
    """Eight versions: 1 and 3 were champion, 2 and 4 to 8 lost. Five are kept for their number."""
    history = new_history()
    for day in range(1, 9):
        history.deploy(history.version(day, passed=day in (1, 3)))
    keep = Retention(versions=5)
    history.spec = history.spec.model_copy(update={"retention": keep})
    return history


def clean(history: History, *, dry_run: bool = False, now=LATER):
    return apply_retention(
        Workspace(history.store, history.client, history.spec), as_of=now, now=now, dry_run=dry_run
    )


def test_champions_and_the_newest_stay_and_the_losers_go(old):
    receipt = clean(old)

    assert old.versions() == ["1", "3", "4", "5", "6", "7", "8"]
    assert old.champion() == "3"
    assert receipt.removed["version"] == 1
    assert [k for k in old.store.list(f"evidence/{old.spec.model}/") if "/key-2/" in k] == []
    assert [k for k in old.store.list(f"evidence/{old.spec.model}/") if "/key-3/" in k] != []
    assert receipt.record is not None
    assert b"version 2 as of 2013-03-03" in old.store.get(receipt.record.key)
    checks = check_invariants(old.workspace, now=LATER, grace=timedelta(0))
    assert [c.name for c in checks if c.status == "failed"] == []


def test_a_dry_run_lists_and_removes_nothing(old):
    before = {key: old.store.get(key) for key in old.store.list("")}

    receipt = clean(old, dry_run=True)

    assert receipt.removed["version"] == 1
    assert len(old.versions()) == 8
    assert {key: old.store.get(key) for key in old.store.list("")} == before


def test_a_second_time_finds_nothing(old):
    clean(old)

    assert clean(old).removed == {}


def test_a_rolled_back_version_stays_for_the_ledger_names_it(old):
    old.roll_back()
    old.spec = old.spec.model_copy(update={"retention": Retention(versions=5)})

    clean(old)

    assert {"1", "3"} <= set(old.versions())
    assert old.roll_back("3", force=True).moved


def test_any_alias_protects_its_version(old):
    old.client.set_registered_model_alias(old.spec.model, "audited", "2")

    clean(old)

    assert "2" in old.versions()


def test_what_was_just_made_stays_however_old_the_day_it_speaks_of(old):
    """A backfill of a year ago must not be swept away the night after."""
    key = f"reports/{old.spec.model}/2013-03-05T0000/x.html"
    old.store.put(key, b"a report of a losing night")
    made = old.store.head(key).written_at

    clean(old, now=made + timedelta(days=364))
    assert old.store.head(key) is not None

    clean(old, now=made + timedelta(days=366))
    assert old.store.head(key) is None


def test_what_monitor_kept_goes_when_it_is_old_and_what_it_asked_for_stays(old):
    keys = {kind: f"{kind}/{old.spec.model}/2013-03-05/x.json" for kind in MONITORED}
    asked = f"retrain_requests/{old.spec.model}/2013-03-05T060000.json"
    for place in (*keys.values(), asked):
        old.store.put(place, b"{}")

    removed = clean(old).removed

    assert {kind: removed[kind] for kind in MONITORED} == dict.fromkeys(MONITORED, 1)
    assert [key for key in keys.values() if old.store.head(key)] == []
    assert old.store.head(asked) is not None


def test_a_report_of_a_champion_stays(old):
    key = f"reports/{old.spec.model}/2013-03-02T0000/x.html"
    old.store.put(key, b"the report of version 1")

    clean(old)

    assert old.store.head(key) is not None


def test_what_a_crash_left_behind_goes_after_a_day(old):
    staged = old.store.root / ".staging" / "tmp-left"
    staged.parent.mkdir(exist_ok=True)
    staged.write_bytes(b"half")
    experiment = mlflow_registry.ensure_experiment(old.client, old.spec.model)
    run = old.client.create_run(experiment, tags={"evergreen.key": "left"})

    assert clean(old, now=NOW).removed.get("unfinished run") is None
    receipt = clean(old)

    assert receipt.removed["unfinished run"] == 1
    assert receipt.removed["unfinished write"] >= 1
    assert not staged.exists()
    assert old.client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
