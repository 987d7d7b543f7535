"""
Promise 1, the decisions of the gates.

On real flights with a real MLflow: a worse, an equal, a NaN or a below-baseline challenger does not
get the alias, a better one does, and a slice below its minimum of rows is "unknown". How often an
equal challenger is promoted is counted in test_gate_rates.py.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evergreen.errors import CandidateError
from evergreen.spec.data import WindowSpec
from evergreen.spec.modeling import BaselineGate, CandidateSpec, Gates, SliceGate
from evergreen.storage.folder import FolderStore
from models.flight_delay import feed
from tests.support.few_inputs import copy_sample
from tests.support.night import Night

MARCH, JULY = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 7, 15, tzinfo=UTC)
WINDOW = WindowSpec(train_days=16, validation_days=4, gap_days=1, test_days=14)
PIPELINES = """
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier


def _forest(inputs, seed):
    columns = ColumnTransformer([("numbers", SimpleImputer(), inputs)])
    trees = ExtraTreesClassifier(n_estimators=40, min_samples_leaf=20, random_state=seed)
    return Pipeline([("columns", columns), ("model", trees)])


def forest(examples, *, seed):
    return _forest(list(examples.numeric), seed)


def blinkered(examples, *, seed):
    return _forest(["minute", "visib", "distance"], seed)


def constant(examples, *, seed):
    return Pipeline([("model", DummyClassifier(strategy="prior"))])


class NoNumber(DummyClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) * float("nan")


def broken(examples, *, seed):
    return Pipeline([("model", NoNumber(strategy="prior"))])
"""


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """Real flights before both nights."""
    store = FolderStore(tmp_path_factory.mktemp("gates"))
    for last in (MARCH.date(), JULY.date()):
        feed.land_days(store, [last - timedelta(days=n) for n in range(1, 36)], replace=frozenset())
    return store


@pytest.fixture(scope="module")
def new_model(landed, client, tmp_path_factory):
    """Make the sample in March under a name of its own, with a forest as its only candidate."""
    code = tmp_path_factory.mktemp("code")

    def make(name: str) -> Night:
        folder = code / "models" / name
        sample = copy_sample(folder)
        with (folder / "pipeline.py").open("a") as file:
            file.write(PIPELINES)
        gates = Gates(slices=SliceGate(columns=("origin",)), baseline=BaselineGate(linear=-0.1))
        wanted = {"model": name, "window": WINDOW, "gates": gates} | only("forest")
        return Night(landed, client, sample.model_copy(update=wanted), MARCH)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(code))
        yield make


@pytest.fixture(scope="module")
def champion(new_model):
    """A forest that serves since March; `champion.at` asks another night or another spec."""
    night = new_model("gated")
    assert night.deployment().moved is True
    return night


def only(candidate: str) -> dict:
    return {"candidates": {candidate: CandidateSpec()}}


def missed(evaluation) -> list[str]:
    return [gate.name for gate in evaluation.gates if gate.status == "failed"]


def test_a_worse_challenger_is_held(champion):
    worse = champion.at(MARCH, **only("blinkered"))
    evaluation = worse.evaluation(worse.examples())

    assert "roc_auc over the champion" in missed(evaluation)
    assert worse.deployment().moved is False
    assert champion.champion() == "1"


def test_an_equal_challenger_is_held(champion):
    """The same forest from another seed: other trees, the same worth."""
    equal = champion.at(MARCH, seed=1)
    evaluation = equal.evaluation(equal.examples())

    ours, theirs = (evaluation.metrics[who]["roc_auc"] for who in ("challenger", "champion"))
    assert ours != theirs
    assert missed(evaluation) == ["roc_auc over the champion"]
    assert equal.deployment().moved is False
    assert champion.champion() == "1"


@pytest.fixture(scope="module")
def poor_champion(new_model):
    """A forest that sees three inputs serves since March."""
    night = new_model("poor")
    gates = night.spec.gates.model_copy(update={"baseline": BaselineGate(linear=-1)})
    night = night.at(MARCH, gates=gates, **only("blinkered"))
    assert night.deployment().moved is True
    return night


def test_a_slice_too_small_to_tell_is_unknown_and_holds_nothing_up(poor_champion):
    slices = SliceGate(columns=("carrier",), min_rows=300)
    gates = poor_champion.spec.gates.model_copy(update={"slices": slices})

    fresh = poor_champion.at(JULY, gates=gates, **only("forest"))
    evaluation = fresh.evaluation(fresh.examples())

    states = {g.name: g.status for g in evaluation.gates if g.name.startswith("slice")}
    assert states["slice carrier=HA"] == "unknown"  # Hawaiian flies once a day
    assert states["slice carrier=UA"] == "passed"
    assert evaluation.passed is True


def test_a_better_challenger_is_promoted(poor_champion):
    """It sees all inputs."""
    fresh = poor_champion.at(JULY, **only("forest"))
    evaluation = fresh.evaluation(fresh.examples())

    assert missed(evaluation) == []
    assert evaluation.champion_version == "1"
    promoted = fresh.deployment()
    assert promoted.moved is True
    assert poor_champion.champion() == promoted.version != "1"


def test_below_the_baselines_nothing_is_promoted_not_even_first(new_model):
    constant = new_model("constant").at(MARCH, **only("constant"))

    receipt = constant.deployment()

    assert receipt.moved is False
    assert receipt.reason == "it missed a gate, the champion stays"
    assert constant.champion() is None


def test_a_challenger_that_gives_no_number_is_never_registered(new_model):
    own_type = {"trusted_types": ("models.broken.pipeline.NoNumber",)}
    broken = new_model("broken").at(MARCH, **only("broken"), **own_type)

    with pytest.raises(CandidateError, match="not finite"):
        broken.deployment()

    assert broken.champion() is None
    assert broken.versions() == []
