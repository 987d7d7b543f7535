"""Libraries beside the champion's, and times beside those of the last versions."""

from __future__ import annotations

import pytest
from tests.support.night import History

from evergreen.registry import mlflow_registry
from evergreen.release.version_comparisons import changed_dependencies, compute_tags
from evergreen.reporting.evidence import EvidencePack
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import load_document


@pytest.fixture
def history(new_history) -> History:
    return new_history()


def pack_of(history: History, day: int, **how) -> EvidencePack:
    receipt = history.version(day, **how)
    folder = receipt.evidence.removesuffix(EVIDENCE_PAGE)
    return load_document(history.store, folder + EVIDENCE_DATA, EvidencePack)


def test_every_difference_between_two_environments_is_a_change():
    before = {"numpy": "1.26.0", "pandas": "3.0.0", "old": "1"}
    now = {"numpy": "2.1.0", "pandas": "3.0.0", "new": "2"}

    assert [change.text for change in changed_dependencies(before, now)] == [
        "new not installed -> 2",
        "numpy 1.26.0 -> 2.1.0",
        "old 1 -> not installed",
    ]


def test_a_first_version_has_nothing_to_be_compared_with(history):
    found = pack_of(history, 1).comparisons

    assert found.dependencies is None
    assert len(found.compute) == 3
    assert {measure.usual for measure in found.compute} == {None}


def test_a_changed_library_is_listed_and_logged(history, monkeypatch, caplog):
    history.deploy(history.version(1))
    versions = {"python": "3.99", "scikit-learn": "9.9", "onnx": "1.0"}
    monkeypatch.setattr("evergreen.release.registration.installed_versions", lambda: versions)

    found = pack_of(history, 2).comparisons.dependencies

    assert found.champion_version == "1"
    texts = {change.name: change.text for change in found.changes}
    assert texts["onnx"] == "onnx not installed -> 1.0"
    assert texts["python"].endswith(" -> 3.99")
    assert "dependency changed since the champion was made: onnx" in caplog.text


def test_the_same_libraries_are_no_change(history):
    history.deploy(history.version(1))

    found = pack_of(history, 2).comparisons.dependencies

    assert (found.champion_version, found.changes) == ("1", ())
    assert found.compared > 100


def test_a_champion_whose_record_is_gone_is_not_compared(history):
    history.deploy(history.version(1))
    history.store.delete(f"identities/{history.spec.model}/key-1.json")

    assert pack_of(history, 2).comparisons.dependencies is None


def timed(history: History, seconds: float):
    return history.judged.challenger.model_copy(update={"fit_seconds": seconds, "train_rows": 1000})


def test_a_fit_that_takes_more_than_twice_the_median_of_five_versions_has_regressed(history):
    for day, seconds in enumerate((50.0, 1.0, 1.1, 1.2, 1.3, 1.4), start=1):  # the first is older
        pack_of(history, day, logged=timed(history, seconds))

    slow = pack_of(history, 7, logged=timed(history, 2.5)).comparisons.compute
    fast = pack_of(history, 8, logged=timed(history, 2.4)).comparisons.compute

    assert (slow[0].name, slow[0].usual, slow[0].versions) == ("training, per row", 1.2, 5)
    assert slow[0].has_regressed
    assert fast[0].usual == pytest.approx(1.3)
    assert not fast[0].has_regressed


def test_a_slower_version_is_held_back_by_no_gate(history):
    history.version(1, logged=timed(history, 1.0))

    slow = history.version(2, logged=timed(history, 9.0))

    assert slow.passed


def test_times_that_an_older_release_did_not_measure_are_no_tags(history):
    old = history.judged.model_copy(
        update={
            "challenger": history.judged.challenger.model_copy(update={"fit_seconds": None}),
            "predict_ms_per_row": None,
        }
    )

    assert set(compute_tags(old)) == {mlflow_registry.TAG_CALL_MS}
    assert len(compute_tags(history.judged)) == 3
