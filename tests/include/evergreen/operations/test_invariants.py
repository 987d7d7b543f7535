"""Each invariant turns red when it is broken, and is green when nothing is."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.conftest import AS_OF
from tests.support.night import NOW, History

from evergreen.operations.invariants import check_invariants
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.serving.observations import Heartbeat
from evergreen.spec.release import RolloutStage
from evergreen.storage.records import document_bytes, put_once


@pytest.fixture
def healthy(new_history) -> History:
    history = new_history()
    history.deploy(history.version(1))
    history.deploy(history.version(2))
    return history


def errors(of: History) -> dict[str, str]:
    checks = check_invariants(of.workspace, now=NOW + timedelta(days=4000))
    return {check.name: check.measured for check in checks if check.status != "passed"}


def test_a_healthy_model_has_none(healthy):
    assert errors(healthy) == {}


def test_a_moved_alias(healthy):
    healthy.client.set_registered_model_alias(healthy.spec.model, "champion", "1")

    assert errors(healthy) == {
        "the alias is where the ledger put it": "alias at version 1, ledger says 2"
    }


def test_a_checkpoint_of_the_ledger_that_says_something_else(new_history, monkeypatch):
    monkeypatch.setattr(ledger_store, "CHECKPOINT_EVERY", 2)
    history = new_history()
    history.deploy(history.version(1))
    history.deploy(history.version(2))
    assert errors(history) == {}
    place = f"ledger_checkpoints/{history.spec.model}/00000004.json"
    history.store.put(place, history.store.get(place).replace(b"promote", b"rollback"))

    assert errors(history)["the ledger's checkpoints repeat its entries"] == (
        f"{place} differs from the entries it repeats; delete it"
    )


def test_a_stage_that_nobody_watches_any_more(healthy):
    ledger = healthy.ledger()
    stage = {
        "step": "stage",
        "stage": RolloutStage(kind="canary", share=0.1, minutes=5),
        "version": "1",
    }
    ledger_store.append(healthy.store, ledger, ledger.champion.model_copy(update=stage))

    assert errors(healthy) == {
        "no change of champion is left open": "version 1 was left in stage canary 10%"
    }


def test_a_server_that_answers_with_another_version(healthy):
    now = NOW + timedelta(days=4000)
    for replica, version in (("a", "1"), ("b", "2")):
        beat = Heartbeat(
            replica=replica, recorded_at=now, url="http://s", models={healthy.spec.model: version}
        )
        data = document_bytes(beat)
        healthy.store.put(f"servers/{replica}.json", data)
    try:
        found = errors(healthy)
    finally:
        for replica in "ab":
            healthy.store.delete(f"servers/{replica}.json")

    assert found == {
        "every model server answers with the champion": "server a answers with version 1, not 2"
    }


def test_a_champion_that_was_deleted(healthy):
    healthy.client.delete_model_version(healthy.spec.model, "2")

    found = errors(healthy)

    assert found["champion and rollback target load and predict"] == "version 2 is gone"
    assert found["the alias is where the ledger put it"] == "alias at version None, ledger says 2"


def test_a_change_that_was_never_ended(healthy):
    ledger = healthy.ledger()
    ledger_store.append(
        healthy.store, ledger, ledger.champion.model_copy(update={"step": "intent"})
    )

    assert errors(healthy) == {
        "no change of champion is left open": "promote of version 2 has no outcome"
    }


def test_a_champion_older_than_the_one_before(healthy):
    ledger = healthy.ledger()
    older = ledger.champion.model_copy(update={"as_of": AS_OF - timedelta(days=9)})
    ledger_store.append(healthy.store, ledger, older)

    assert "champions only move forward in as_of" in errors(healthy)


def test_a_champion_that_missed_a_gate(healthy):
    healthy.client.set_model_version_tag(
        healthy.spec.model, "2", mlflow_registry.TAG_PASSED, "failed"
    )

    assert errors(healthy) == {
        "every champion passed its gates or was forced": "version 2 has verdict failed"
    }


def test_two_versions_of_one_piece_of_work(healthy):
    second = healthy.client.get_model_version(healthy.spec.model, "2")
    healthy.client.create_model_version(
        healthy.spec.model,
        source=second.source,
        model_id=second.tags[mlflow_registry.TAG_MODEL_ID],
        tags=dict(second.tags),
    )

    assert list(errors(healthy)) == ["one version per piece of work"]


def test_two_runs_of_one_piece_of_work_and_one_unfinished(healthy):
    experiment = mlflow_registry.ensure_experiment(healthy.client, healthy.spec.model)
    for _ in range(2):
        healthy.client.create_run(experiment, tags={mlflow_registry.TAG_KEY: "twice"})

    found = errors(healthy)

    assert found["one run per piece of work"] == "twice x2"
    assert "no run is left unfinished" in found
    checks = check_invariants(healthy.workspace, now=NOW + timedelta(days=4000))
    (unfinished,) = (one for one in checks if one.name == "no run is left unfinished")
    assert unfinished.status == "unknown"  # housekeeping, which removes the run, goes on


def test_a_version_nobody_can_trace(healthy):
    second = healthy.client.get_model_version(healthy.spec.model, "2")
    healthy.client.create_model_version(
        healthy.spec.model, source=second.source, model_id=second.tags[mlflow_registry.TAG_MODEL_ID]
    )

    assert errors(healthy)["every version can be traced"].startswith("version 3 lacks ")


def test_a_manifest_without_its_object(healthy):
    ref = {"key": "examples/x.parquet", "sha256": "0" * 64, "size": 1}
    days = [{"day": "2013-01-01", "segment": "fit", "data": ref}]
    content = {"as_of": "2013-01-02T00:00:00Z", "digest": "", "days": days, "raw": {}}
    folder, data = f"examples/{healthy.spec.model}/windows", json.dumps(content).encode()
    key = put_once(healthy.store, folder, data, suffix=".json").key

    assert errors(healthy) == {
        "every manifest has its objects": f"{key}: examples/x.parquet is gone"
    }
