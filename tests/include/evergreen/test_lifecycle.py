"""From examples to a serving version and back again, on a real MLflow server and real flights."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from tests.conftest import AS_OF
from tests.support.failures import killed_after_each_effect
from tests.support.night import Night

from evergreen.data.parquet import from_parquet
from evergreen.data.validation import validate_window
from evergreen.data.window import DayRange
from evergreen.errors import AliasMovedError, ArtifactError, CandidateError, NoChampionError
from evergreen.modeling.artifacts import load_model
from evergreen.modeling.training import train_candidate
from evergreen.registry import mlflow_registry
from evergreen.reporting.drift_report import report_drift
from evergreen.reporting.evidently_report import harmless
from evergreen.scoring.scoring import score_missed_days, score_partition
from evergreen.spec.modeling import CandidateSpec, Search
from evergreen.workspace import Workspace
from models.flight_delay.feed import land_days


def test_the_first_night_ends_with_a_champion(night):
    receipt = night.deployment()

    assert receipt.moved is True
    assert night.champion() == receipt.version == "1"
    steps = [(e.step, e.version, e.previous) for e in night.ledger().entries]
    assert steps == [("intent", "1", None), ("outcome", "1", None)]


def test_a_second_time_changes_nothing(night):
    first = night.deployment()
    before = {key: night.store.get(key) for key in night.store.list("")}

    again = night.deployment()

    assert again.champion_version == first.champion_version == night.champion()
    assert again.moved is False
    assert night.registration().created is False
    assert night.versions() == ["1"]
    assert len(night.runs()) == len(night.spec.candidate_names)
    assert {run.info.status for run in night.runs()} == {"FINISHED"}
    assert {key: night.store.get(key) for key in night.store.list("")} == before


def test_the_champion_beats_the_baseline_on_real_flights(night):
    found = night.evaluation(night.examples())

    assert {gate.name for gate in found.gates} >= {
        "rows to evaluate on",
        "roc_auc over the trivial baseline",
        "roc_auc over the linear baseline",
        "leak: test events seen in training",
        "leak: an input that is the label",
    }
    assert found.metrics["trivial baseline"]["roc_auc"] == 0.5
    assert found.metrics["challenger"]["roc_auc"] > 0.6
    assert found.champion_version is None


def test_only_rivals_are_fitted_twice_and_ranked(night):
    alone = night.candidates(night.examples())
    rivals = night.at(
        night.as_of,
        candidates={"linear": CandidateSpec(), "late": CandidateSpec(function="linear")},
    )
    together = rivals.candidates(rivals.examples())

    assert {c.candidate for c in alone if c.validation} == set()
    assert {c.candidate for c in together if c.validation} == {"linear", "late"}
    # The fit that ranks changes nothing about the one that serves.
    assert alone[0].artifact_sha256 == together[0].artifact_sha256


def test_a_version_says_what_made_it(night):
    receipt = night.registration()

    tags = night.client.get_model_version(night.spec.model, receipt.version).tags

    expected = {
        "key",
        "as_of",
        "candidate",
        "artifact_sha256",
        "evaluation",
        "gates",
        "model_id",
        "examples_digest",
        "examples_uri",
        "spec_digest",
        "code_digest",
        "git_sha",
        "git_dirty",
        "identity",
        "fit_days",
        "test_days",
        "test_roc_auc",
    }
    assert {f"evergreen.{name}" for name in expected} <= set(tags)


def test_a_crash_before_the_run_was_whole_is_continued(night, monkeypatch):
    examples = night.examples()
    with monkeypatch.context() as patch:
        patch.setattr(type(night.client), "finalize_logged_model", _die)
        with pytest.raises(KeyboardInterrupt):
            night.candidates(examples)
    assert [run.info.status for run in night.runs()] == ["FAILED"]

    night.candidates(examples)

    assert len(night.runs()) == len(night.spec.candidate_names)
    assert {run.info.status for run in night.runs()} == {"FINISHED"}


def test_a_crash_between_intent_and_alias_is_finished_by_the_next_try(night, monkeypatch):
    registration = night.registration()
    with monkeypatch.context() as patch:
        patch.setattr(type(night.client), "set_registered_model_alias", _die)
        with pytest.raises(KeyboardInterrupt):
            night.deploy(registration)
    assert night.champion() is None

    night.deploy(registration)

    assert night.champion() == "1"
    steps = [entry.step for entry in night.ledger().entries]
    assert steps[-1] == "outcome"


def test_two_registrations_at_once_make_one_version(night):
    examples = night.examples()
    evaluation = night.evaluation(examples)
    barrier = threading.Barrier(4)

    def register():
        barrier.wait()
        return night.register(evaluation, examples)

    with ThreadPoolExecutor(4) as pool:
        racers = [pool.submit(register) for _ in range(4)]
    found = {racer.result().version for racer in racers}

    assert [*found] == night.versions() == ["1"]


def test_a_challenger_that_misses_a_gate_is_registered_and_does_not_serve(night):
    impossible = night.spec.gates.model_copy(update={"floors": {"roc_auc": 0.999}})
    night.spec = night.spec.model_copy(update={"gates": impossible})

    receipt = night.deployment()

    assert receipt.moved is False
    assert receipt.reason == "it missed a gate, the champion stays"
    assert night.champion() is None
    assert night.versions() == ["1"]
    assert night.ledger().entries == ()


def test_an_older_night_registers_history_and_moves_nothing(night):
    night.deployment()

    older = night.at(AS_OF - timedelta(days=1))
    registration = older.registration().model_copy(update={"passed": True, "compared_with": "1"})
    receipt = older.deploy(registration)

    assert receipt.version == "2"
    assert receipt.reason.startswith("it is history")
    assert night.champion() == "1"


def test_a_verdict_on_another_champion_is_passed_again_before_it_promotes(night):
    """Two nights at once: the one that comes second must beat the one that came first."""
    twin = night.at(AS_OF, limits=("The same model, with a limit in words.",))
    stale = twin.registration()
    night.deployment()

    receipt = twin.deploy(stale)

    assert stale.passed
    assert stale.compared_with is None
    assert receipt.moved is False
    assert receipt.reason == "it missed a gate, the champion stays"
    tags = night.client.get_model_version(night.spec.model, stale.version).tags
    assert tags["evergreen.evaluation"].endswith("/against-2.json")
    assert tags["evergreen.gates"] == "failed"
    assert night.champion() == "2"


WITHOUT_MINUTE = """

with_minute = prepare


def prepare(raw, day):
    return with_minute(raw, day).drop(columns="minute")
"""


def test_a_champion_with_fewer_inputs_is_judged_on_its_own(night, tmp_path):
    """A new input must not make the champion impossible to compare with."""
    whole, folder = night.spec, tmp_path / "code" / "models" / night.spec.model
    with_minute = (folder / "prepare.py").read_text()
    (folder / "prepare.py").write_text(with_minute + WITHOUT_MINUTE)
    fewer = tuple(name for name in whole.examples.numeric if name != "minute")
    examples = whole.examples.model_copy(update={"numeric": fewer})
    # The groups of inputs name minute; without groups the spec with fewer inputs is a valid one.
    night.spec = whole.model_copy(update={"examples": examples, "inputs": {}})
    assert night.deployment().moved is True

    (folder / "prepare.py").write_text(with_minute)
    sys.modules.pop(f"models.{whole.model}.prepare")
    night.spec = whole
    found = night.evaluation(night.examples())

    assert found.champion_version == "1"
    assert set(found.metrics) == {"challenger", "linear baseline", "trivial baseline", "champion"}


def test_a_dry_run_leaves_the_champion_alone(night):
    receipt = night.deployment(dry_run=True)

    assert receipt.reason == "dry run, the alias was not touched"
    assert night.champion() is None


def test_changed_bytes_of_an_artifact_are_never_loaded(night):
    found = night.evaluation(night.examples()).challenger

    with pytest.raises(ArtifactError, match="It was not loaded"):
        load_model(night.client, found.model_id, sha256="0" * 64, trusted=())


def test_nothing_is_promoted_over_a_version_from_elsewhere(night):
    examples = night.examples()
    best = night.evaluation(examples).challenger
    night.client.create_registered_model(night.spec.model)
    made = night.client.create_model_version(
        night.spec.model,
        source=f"models:/{best.model_id}",
        run_id=best.run_id,
        model_id=best.model_id,
    )
    night.client.set_registered_model_alias(night.spec.model, "champion", made.version)

    with pytest.raises(AliasMovedError, match="was moved by hand: it is at version 1, the ledger"):
        night.deployment()
    with pytest.raises(ArtifactError, match="was not registered by Evergreen"):
        night.roll_back(made.version, force=True)


def test_scoring_uses_the_champion_of_before_the_day(night):
    night.deployment()
    tomorrow = AS_OF + timedelta(days=1)

    first, second = score(night, tomorrow), score(night, tomorrow)

    rows = from_parquet(night.store.get(first.predictions.key))
    assert second == first
    assert first.day == AS_OF.date()
    assert first.rows == len(rows) > 500
    assert set(rows["model_version"]) == {1}
    assert rows["score"].between(0, 1).all()


def test_nothing_scores_a_day_it_has_learnt_from(night):
    night.deployment()

    with pytest.raises(NoChampionError, match="a model from the day's future is never used"):
        score(night, AS_OF)


def test_the_drift_report_is_made_once_and_says_its_sizes(night):
    examples = night.examples()

    first, second = (report_drift(night.store, night.spec, examples=examples) for _ in range(2))

    page = night.store.get(first.html.key).decode()
    assert second == first
    assert set(first.columns) == {*night.spec.examples.features, "is_late"}
    assert first.columns["distance"]["current_values"] == first.current_rows
    assert f"{first.current_rows} of the {examples.labelled['test']} labelled rows" in page


def test_no_name_or_value_can_end_a_script():
    import pandas as pd

    safe = harmless(pd.DataFrame({"</script><script>": ["</script><script>alert(1)", None]}))

    assert "<" not in safe.columns[0] + safe.iloc[0, 0]
    assert safe.iloc[1].isna().all()


def test_a_pipeline_that_is_none_is_explained(night, tmp_path):
    examples = night.examples()
    path = tmp_path / "code" / "models" / night.spec.model / "pipeline.py"
    path.write_text("def linear(examples, *, seed):\n    return 3\n")

    with pytest.raises(CandidateError, match="linear returned a int, expected a scikit-learn"):
        night.candidates(examples)
    assert night.client.get_experiment_by_name(night.spec.model) is None or night.runs() == []


def score(night: Night, as_of: datetime):
    day = (as_of - timedelta(days=1)).date()
    days = DayRange(first=day, end=as_of.date())
    validation = validate_window(night.store, night.spec, as_of=as_of, days=days)
    return score_partition(
        Workspace(night.store, night.client, night.spec), as_of=as_of, validation=validation
    )


def _gates(night, when_unusable: str) -> dict:
    """Return gates that hold a challenger for its champion only."""
    gates = night.spec.gates
    changed = {
        "champion": gates.champion.model_copy(update={"when_unusable": when_unusable}),
        "baseline": gates.baseline.model_copy(update={"linear": -0.5}),
    }
    return {"gates": gates.model_copy(update=changed)}


def _delete_version(night, version) -> None:
    night.client.delete_model_version(night.spec.model, version.version)


def _delete_logged_model(night, version) -> None:
    night.client.delete_logged_model(version.tags[mlflow_registry.TAG_MODEL_ID])


def _delete_run(night, version) -> None:
    night.client.delete_run(version.run_id)


def _delete_experiment(night, version) -> None:
    night.client.delete_experiment(night.client.get_run(version.run_id).info.experiment_id)


@pytest.mark.parametrize(
    ("damage", "is_unusable"),
    [
        (_delete_version, True),
        (_delete_logged_model, True),
        (_delete_run, False),
        (_delete_experiment, False),
    ],
)
def test_what_was_deleted_in_mlflow_never_ends_the_nights(night, damage, is_unusable):
    """The next night is judged and held; one whose spec allows it replaces the champion."""
    night.deployment()
    damage(night, night.client.get_model_version(night.spec.model, "1"))
    after = night.at(AS_OF + timedelta(days=1), **_gates(night, "hold"))
    land_days(night.store, [AS_OF.date()], replace=frozenset())

    judged = after.evaluation(after.examples())
    after.register(judged, after.examples())

    gate = next(g for g in judged.gates if g.name.endswith("over the champion"))
    assert ("the champion cannot be used" in gate.measured) is is_unusable
    if is_unusable:
        assert [g.name for g in judged.gates if g.status == "failed"] == [gate.name]
        replaced = night.at(
            AS_OF + timedelta(days=1), **_gates(night, "promote"), seed=night.spec.seed + 1
        ).deployment()
        assert replaced.moved is True
        assert night.ledger().champion.version == replaced.version == night.champion()


def test_days_that_an_outage_left_out_are_scored_later(night):
    """Three days without a run: the next one scores them too, and a second time none is left."""
    night.deployment()
    workspace = Workspace(night.store, night.client, night.spec)
    after = (AS_OF + timedelta(days=3)).date()
    days = [AS_OF.date() + timedelta(days=n) for n in range(3)]
    land_days(night.store, days, replace=frozenset())
    score(night, AS_OF + timedelta(days=1))

    found = list(score_missed_days(workspace, as_of=AS_OF + timedelta(days=4), before=after))
    again = list(score_missed_days(workspace, as_of=AS_OF + timedelta(days=4), before=after))

    assert [receipt.day for receipt in found] == [after - timedelta(days=n) for n in (1, 2)]
    assert all(receipt.version == "1" and receipt.rows for receipt in found)
    assert again == []


def _die(*_, **__):
    raise KeyboardInterrupt


def searched(night, **changes):
    """The night with a search of three trials over the strength of the linear candidate."""
    space = {"model__C": {"low": 0.01, "high": 10.0, "log": True}}
    search = CandidateSpec(function="linear", search=Search(space=space, trials=3))
    return night.at(night.as_of, candidates={"tuned": search}, **changes)


def children_of(night, receipt) -> list:
    return [r for r in night.runs() if r.data.tags.get("mlflow.parentRunId") == receipt.run_id]


def test_every_trial_of_a_search_is_a_child_run(night):
    night = searched(night)

    receipt = night.evaluation(night.examples()).challenger

    children = children_of(night, receipt)
    assert receipt.trials == len(children) == 3
    assert {run.info.status for run in children} == {"FINISHED"}
    best = next(run for run in children if run.data.tags["mlflow.runName"].endswith("rank 1"))
    assert float(best.data.params["model__C"]) == receipt.params["model__C"]
    assert all(
        run.data.metrics["mean_roc_auc"] <= best.data.metrics["mean_roc_auc"] for run in children
    )


def test_the_next_night_begins_its_search_with_the_champions_parameters(night):
    first = searched(night)
    assert first.deployment().moved is True
    champion = first.evaluation(first.examples()).challenger

    second = searched(night, limits=("The same question, asked again.",))
    receipt = second.evaluation(second.examples()).challenger

    tried = {float(run.data.params["model__C"]) for run in children_of(second, receipt)}
    assert receipt.key != champion.key
    assert champion.params["model__C"] in tried


def test_killed_in_a_search_its_trials_are_shown_once(trained):
    shared, _ = trained
    examples = shared.examples()
    nights: list[Night] = []

    def train(of: Night):
        return train_candidate(
            Workspace(of.store, of.client, of.spec), candidate="tuned", examples=examples, tags={}
        )

    def next_search():
        nights.append(searched(shared, seed=2000 + len(nights)))
        return lambda: train(nights[-1])

    for k in killed_after_each_effect(next_search):
        again = train(nights[-1])

        assert len(children_of(nights[-1], again)) == again.trials == 3
        assert {run.info.status for run in children_of(nights[-1], again)} == {"FINISHED"}
        if k >= 6:  # the run, its numbers, and the first two trials with theirs
            break


def test_an_error_after_the_run_began_ends_it_as_failed_and_a_retry_finishes_it(night, monkeypatch):
    examples = night.examples()
    with monkeypatch.context() as patched:
        patched.setattr(type(night.client), "finalize_logged_model", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            night.candidates(examples)
    (failed,) = night.runs()
    assert failed.info.status == "FAILED"

    night.candidates(examples)

    assert {run.info.status for run in night.runs()} == {"FINISHED"}
    assert failed.info.run_id in {run.info.run_id for run in night.runs()}
