"""Whatever is damaged in the store, check-state goes on and names the object."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.failures import some_effects_and_all
from tests.support.night import NOW, History

from evergreen.errors import EvergreenError
from evergreen.modeling.false_promotions import level_of
from evergreen.monitoring.history import Reader
from evergreen.monitoring.retrain_requests import requests
from evergreen.operations.invariants import check_invariants
from evergreen.operations.ledger_checks import ledger_faults
from evergreen.operations.stored_records import RECORDS, missing_objects, scan_records
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.registry import mlflow_registry
from evergreen.registry.health_record import red_day
from evergreen.registry.version_record import evaluation_digest
from evergreen.serving.observations import live_servers
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import DIGEST_KEY, load_document


@pytest.fixture
def history(new_history, tmp_path) -> History:
    """Two champions, in a copy of the store that this test may damage."""
    found = new_history()
    found.deploy(found.version(1))
    found.deploy(found.version(2))
    shutil.copytree(found.store.root, tmp_path / "store")
    found.store = FolderStore(tmp_path / "store")
    return found


def measured(history: History) -> str:
    checks = check_invariants(history.workspace, now=NOW + timedelta(days=4000))
    return "\n".join(check.measured for check in checks if check.status == "failed")


def test_every_kind_of_the_layout_has_a_rule():
    assert set(RECORDS) == set(layout.KINDS)


def cut(store: FolderStore, key: str) -> None:
    store.put(key, store.get(key)[:-9])


def one_of(store: FolderStore, folder: str, suffix: str = ".json") -> str:
    return next(key for key in store.list(folder) if key.endswith(suffix))


def damaged(folder: str, suffix: str = ".json") -> Callable[[History], str]:
    def damage(history: History) -> str:
        key = one_of(history.store, folder.format(history.spec.model), suffix)
        cut(history.store, key)
        return key

    return damage


def deleted(folder: str, suffix: str = ".json") -> Callable[[History], str]:
    def damage(history: History) -> str:
        key = one_of(history.store, folder.format(history.spec.model), suffix)
        history.store.delete(key)
        return key

    return damage


def written(key: str, data: bytes) -> Callable[[History], str]:
    def damage(history: History) -> str:
        found = key.format(history.spec.model)
        history.store.put(found, data)
        return found

    return damage


def passed_flipped(history: History) -> str:
    """A failed gate, and a verdict that says passed; without a digest, as in older releases."""
    key = one_of(history.store, f"evaluations/{history.spec.model}/key-2/")
    content = json.loads(history.store.get(key))
    del content[DIGEST_KEY]
    content["gates"][0]["status"] = "failed"
    history.store.put(key, json.dumps(content).encode())
    return key


def consistent_forgery(history: History) -> str:
    """Another verdict with gates that agree: only the digest on the version differs."""
    key = one_of(history.store, f"evaluations/{history.spec.model}/key-2/")
    content = json.loads(history.store.get(key))
    del content[DIGEST_KEY]
    content["gates"][0] |= {"status": "passed", "measured": "better than it was"}
    history.store.put(key, json.dumps(content).encode())
    return key


def bad_tag(history: History) -> str:
    tag = mlflow_registry.TAG_EVALUATION
    history.client.set_model_version_tag(history.spec.model, "2", tag, "../x")
    return "../x"


def malformed_instant(history: History) -> str:
    tag = mlflow_registry.TAG_AS_OF
    history.client.set_model_version_tag(history.spec.model, "1", tag, "yesterday")
    return "yesterday"


BY_HAND = {
    "cut window manifest": written("examples/{}/windows/x.json", b'{"days":'),
    "window manifest without keys": written("examples/{}/windows/x.json", b"{}"),
    "stray window manifest": written("examples/{}/windows/x.json.bak", b"junk"),
    "cut predictions manifest": written("predictions/{}/2026-01-01/manifest.json", b'{"a'),
    "cut heartbeat": written("servers/x.json", b"{"),
    "cut request to retrain": written("retrain_requests/{}/2013-01-01T000000.json", b"{"),
    "stray level": written("evaluation_levels/{}/x.json", b"{"),
    "cut health record": written("monitoring/{}/2013-01-01/health.json", b"{"),
    "deep record": written("decisions/{}/x.json", b"[" * 100_000),
    "record that is no text": written("reproductions/{}/x.json", b"\xff\xfe"),
    "stray checkpoint": written("ledger_checkpoints/{}/x.json", b"{}"),
    "stray entry": written("ledger/{}/00000003.json.bak", b"{}"),
    "cut entry": damaged("ledger/{}/00000002"),
    "missing entry": deleted("ledger/{}/00000002"),
    "last entry missing": deleted("ledger/{}/00000004"),
    "cut identity": damaged("identities/{}/"),
    "missing identity": deleted("identities/{}/"),
    "cut evidence": damaged("evidence/{}/"),
    "missing page": deleted("evidence/{}/", ".html"),
    "cut evaluation": damaged("evaluations/{}/key-2/"),
    "missing evaluation": deleted("evaluations/{}/key-2/"),
    "missing validation record": deleted("validation/flight_delay/windows/"),
    "missing drift report": deleted("reports/none", ""),
    "passed flipped": passed_flipped,
    "consistent forgery": consistent_forgery,
    "tag with a bad key": bad_tag,
    "malformed instant": malformed_instant,
}


@pytest.mark.parametrize("damage", BY_HAND.values(), ids=list(BY_HAND))
def test_a_corruption_made_by_hand_is_named(history, damage):
    key = damage(history)

    assert key in measured(history)


def test_a_missing_model_file_is_named(new_history, mlflow_artifacts):
    history = new_history()
    logged, folder = history.copied(mlflow_artifacts)
    history.deploy(history.version(1, logged=logged))
    (folder / "model.skops").unlink()

    assert f"model.skops of model {logged.model_id} is gone from MLflow" in measured(history)


def test_a_check_that_fails_by_itself_does_not_stop_the_others(history, monkeypatch):
    def broken(store, model):
        raise ZeroDivisionError("a fault in a check")

    monkeypatch.setattr("evergreen.operations.invariants.scan_records", broken)
    cut(history.store, key := one_of(history.store, f"ledger/{history.spec.model}/"))

    found = measured(history)

    assert "it could not be checked: ZeroDivisionError: a fault in a check" in found
    assert key in found


def faults_in(history: History) -> str:
    """What the checks of the store say, without those that load models."""
    store, found = history.store, list[str]()
    for model in (history.spec.model, history.night.spec.model):
        scan = scan_records(store, model)
        found += [*scan.faults, *missing_objects(store, scan)]
        found += ledger_faults(store, history.client, model)
    return "\n".join(found)


def named_keys(history: History) -> set[str]:
    models = (history.spec.model, history.night.spec.model)
    scans = [scan_records(history.store, model) for model in models]
    return {ref.key for scan in scans for refs in scan.named.values() for ref in refs}


def tasks_raise_only_ours(history: History) -> None:
    """Ask what tasks, pages and servers ask first of the store."""
    store, spec = history.store, history.spec
    rule = spec.gates.champion.model_copy(update={"false_promotions_per_year": 2.0})
    for ask in (
        history.ledger,
        lambda: Reader(store).history(spec),
        lambda: Reader(store).versions(spec.model),
        lambda: red_day(store, spec.model, as_of=history.as_of),
        lambda: requests(store, spec.model),
        lambda: live_servers(store, now=NOW),
        lambda: level_of(
            store, spec.model, rule, as_of=NOW, challenger="a", against="b", keep=False
        ),
    ):
        try:
            ask()
        except EvergreenError:
            continue


@some_effects_and_all
@pytest.mark.parametrize("kind", ["flip", "cut", "delete"])
def test_any_damage_of_any_object_is_named_and_nothing_else_is_raised(history, kind, step):
    """Objects of a real history, at a place drawn by chance; other tests use the night's model."""
    store, rng = history.store, random.Random(kind)
    usual = faults_in(history)
    assert history.spec.model not in usual
    named, tried = named_keys(history), 0
    models = (history.spec.model, history.night.spec.model)
    keys = [key for key in store.list("") if key.split("/")[1] in models and key not in usual]
    for key in keys[::step]:
        whole = store.get(key)
        if layout.kind_of(key) not in layout.KINDS or not whole:
            continue
        damage_at(store, key, kind, rng)

        found = faults_in(history)
        tasks_raise_only_ours(history)

        is_read = key.endswith(".json") and kind != "delete"
        is_sized = key in named and kind != "flip" and not is_optional(key, kind)
        if is_read or is_sized or key.startswith("ledger/"):
            assert key in found
        tried += 1
        store.put(key, whole)
    assert tried * step > 30


def is_optional(key: str, kind: str) -> bool:
    """Rows in quarantine may go: no work reads them."""
    return kind == "delete" and layout.kind_of(key) == "quarantine"


def damage_at(store: FolderStore, key: str, kind: str, rng: random.Random) -> None:
    data = bytearray(store.get(key))
    at = rng.randrange(len(data))
    if kind == "delete":
        store.delete(key)
    elif kind == "cut":
        store.put(key, bytes(data[:at]))
    else:
        data[at] ^= 1 << rng.randrange(8)
        store.put(key, bytes(data))


def test_a_night_with_a_failed_candidate_leaves_a_whole_record(new_history):
    """The run names what failed, and the kept evaluation does not."""
    found = new_history()
    registered = found.version(1)
    kept = load_document(
        found.store,
        layout.evaluation_record(found.spec.model, "key-1", "none"),
        EvaluationReceipt,
    )
    run = kept.model_copy(update={"failed_candidates": ("forest",)})

    again = found.register(run, found.kept.model_copy(update={"as_of": kept.as_of}))

    version = found.client.get_model_version(found.spec.model, registered.version)
    assert again.version == registered.version
    assert evaluation_digest(run) == version.tags[mlflow_registry.TAG_EVALUATION_DIGEST]
    assert "was changed after version" not in measured(found)
