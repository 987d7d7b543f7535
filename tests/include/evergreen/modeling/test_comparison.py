"""A night whose days cannot tell ends without a promotion; a broken champion can be replaced."""

from __future__ import annotations

import os
from datetime import timedelta

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from tests.conftest import AS_OF
from tests.support.night import History

from evergreen.data.window import training_window
from evergreen.errors import ArtifactError
from evergreen.modeling.comparison import Comparison, compare, load_models
from evergreen.registry.champions import VersionToBeat
from evergreen.spec.modeling import CandidateSpec


class NoNumber(DummyClassifier):
    """A champion whose answers are no numbers."""

    def predict_proba(self, X):  # noqa: N803 - scikit-learn's name
        return np.full((len(X), 2), np.nan)


class Broken(DummyClassifier):
    """A champion that fails on the new rows."""

    def predict_proba(self, X):  # noqa: N803
        raise TypeError("unexpected value in column 'carrier'")


@pytest.fixture(scope="module")
def compared(trained):
    """Return the evaluation of the night's challenger beside another champion, nothing kept."""
    night = History(trained, f"compared_{os.getpid()}")
    registered = night.version(0)
    comparison = Comparison(
        best=night.judged.challenger,
        candidates=night.judged.candidates,
        examples=night.kept,
        champion=VersionToBeat(
            version=registered.version,
            registered=night.client.get_model_version(night.spec.model, registered.version),
        ),
    )
    models = load_models(night.client, night.client, night.spec, comparison)

    def against(champion: Pipeline | ArtifactError | None, when_unusable: str = "hold"):
        found = models | ({"champion": champion} if champion is not None else {})
        gates = night.spec.gates
        rule = gates.champion.model_copy(update={"when_unusable": when_unusable})
        spec = night.spec.model_copy(update={"gates": gates.model_copy(update={"champion": rule})})
        return compare(night.store, spec, found, comparison, keep=False)[0]

    return against


def state(evaluation, name: str) -> tuple[str, str]:
    found = next(gate for gate in evaluation.gates if gate.name == name)
    return found.status, found.measured


def _pipeline(champion) -> Pipeline:
    return Pipeline([("model", champion())]).fit(np.zeros((2, 1)), [False, True])


UNUSABLE = {
    "raises": (lambda: _pipeline(Broken), "it cannot predict the test rows: TypeError: unexpected"),
    "not loaded": (lambda: ArtifactError("Version 1: no such file."), "Version 1: no such file."),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize("setting", ["hold", "promote"])
def test_a_champion_that_cannot_be_used_is_a_fact_for_the_gate(compared, case, setting):
    champion, says = UNUSABLE[case]

    found = compared(champion(), when_unusable=setting)

    status, measured = state(found, "roc_auc over the champion")
    assert (status, found.passed) == (
        ("passed", True) if setting == "promote" else ("failed", False)
    )
    assert measured.startswith("the champion cannot be used: ")
    assert says in measured
    assert state(found, "roc_auc over the trivial baseline")[0] == "passed"


def test_a_champion_that_predicts_nothing_can_be_replaced(compared):
    broken = _pipeline(NoNumber)

    found = compared(broken)

    status, measured = state(found, "roc_auc over the champion")
    assert (status, found.passed) == ("passed", True)
    assert measured.startswith("the champion has no finite prediction for ")
    assert found.metrics["champion"]["roc_auc"] is None


def test_a_champion_that_predicts_keeps_its_place_against_itself(compared):
    assert compared(None).passed is False


@pytest.fixture
def without_positives(night, rewrite):
    """Make every known label of the days of a segment negative."""

    def change(segment: str) -> None:
        days = getattr(training_window(AS_OF, night.spec.window), segment)
        for day in [days.first - timedelta(days=1), *days]:  # a flight may leave after midnight UTC
            rewrite("flights", day, lambda f: f.assign(arr_delay=f["arr_delay"].clip(upper=0.0)))

    return change


def test_test_days_with_one_class_end_the_night_without_a_promotion(
    night, without_positives, caplog
):
    without_positives("test")

    evaluation = night.evaluation(night.examples())
    deployed = night.deployment()

    assert "labels of the test days are False" in caplog.text
    why = f"cannot tell: all {evaluation.test_rows} test labels are the same"
    for name in ("roc_auc over the trivial baseline", "roc_auc over the linear baseline"):
        assert state(evaluation, name) == ("failed", why)
    assert (deployed.moved, night.champion()) == (False, None)


def test_validation_days_with_one_class_rank_no_candidate(night, without_positives, caplog):
    without_positives("validation")
    rivals = {name: CandidateSpec(function="linear") for name in ("second", "first")}
    rivals = night.at(AS_OF, candidates=rivals)

    evaluation = rivals.evaluation(rivals.examples())

    assert "candidates cannot be ranked, so the first one is taken" in caplog.text
    assert evaluation.challenger.candidate == "second"
    assert [c.validation for c in evaluation.candidates] == [{}, {}, {}]
