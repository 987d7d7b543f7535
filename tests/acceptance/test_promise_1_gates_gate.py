"""
Promise 1: worse, equal, NaN-metric or below-baseline challengers never get the alias; over 240
equal-quality pairs at most 5 % are promoted; a clearly better one is; a slice under its minimum n
is "unknown". On real flights with a real MLflow. The rate is counted on the real flights too, by
the exact null of tests/support/equal_pairs.py, and on simulated days that have effects of their
own.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import CandidateError
from evergreen.modeling import metrics
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.gates import GateInputs, ModelScores, check_gates
from evergreen.modeling.paired_gain import obuchowski_gain, paired_gain
from evergreen.receipts.modeling import Importance
from evergreen.spec import load_spec
from evergreen.spec.data import WindowSpec
from evergreen.spec.modeling import BaselineGate, CandidateSpec, Gates, SliceGate
from evergreen.storage.folder import FolderStore
from models.flight_delay import feed
from tests.conftest import ROOT
from tests.support.equal_pairs import (
    Pair,
    flights_of_2013,
    pairs_on_flights,
    simulated_pair,
    wilson,
)
from tests.support.night import Night

MARCH, JULY = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 7, 15, tzinfo=UTC)
WINDOW = WindowSpec(train_days=16, validation_days=4, gap_days=1, test_days=7)
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
        feed.land_days(store, [last - timedelta(days=n) for n in range(1, 28)], replace=frozenset())
    return store


@pytest.fixture(scope="module")
def new_model(landed, client, tmp_path_factory):
    """Make the sample in March under a name of its own, with a forest as its only candidate."""
    code = tmp_path_factory.mktemp("code")

    def make(name: str) -> Night:
        folder = code / "models" / name
        shutil.copytree(ROOT / "include" / "models" / "flight_delay", folder)
        with (folder / "pipeline.py").open("a") as file:
            file.write(PIPELINES)
        gates = Gates(slices=SliceGate(columns=("origin",)), baseline=BaselineGate(linear=-0.1))
        wanted = {"model": name, "window": WINDOW, "gates": gates} | only("forest")
        return Night(landed, client, load_spec("flight_delay").model_copy(update=wanted), MARCH)

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


def test_a_slice_too_small_to_tell_is_unknown_and_holds_nothing_up(champion):
    slices = SliceGate(columns=("carrier",), min_rows=300)
    gates = champion.spec.gates.model_copy(update={"slices": slices})

    fresh = champion.at(JULY, gates=gates)
    evaluation = fresh.evaluation(fresh.examples())

    states = {g.name: g.status for g in evaluation.gates if g.name.startswith("slice")}
    assert states["slice carrier=HA"] == "unknown"  # Hawaiian flies once a day
    assert states["slice carrier=UA"] == "passed"
    assert evaluation.passed is True


def test_a_better_challenger_is_promoted(champion):
    """The champion learnt in February, and it is July now."""
    fresh = champion.at(JULY)
    evaluation = fresh.evaluation(fresh.examples())

    assert missed(evaluation) == []
    assert evaluation.champion_version == "1"
    promoted = fresh.deployment()
    assert promoted.moved is True
    assert champion.champion() == promoted.version != "1"


def test_below_the_baselines_nothing_is_promoted_not_even_first(new_model):
    constant = new_model("constant").at(MARCH, **only("constant"))

    receipt = constant.deployment()

    assert receipt.moved is False
    assert receipt.reason == "it missed a gate, the champion stays"
    assert constant.champion() is None


def test_a_challenger_that_gives_no_number_is_never_registered(new_model):
    broken = new_model("broken").at(MARCH, **only("broken"))

    with pytest.raises(CandidateError, match="not finite"):
        broken.deployment()

    assert broken.champion() is None
    assert broken.versions() == []


# The rate: pairs of models of which neither is better.

TRIES = 240


def contest_of(pair: Pair, spec) -> GateInputs:
    """The gates' view of a pair: the one challenges the other."""
    size = len(pair.days)
    rng = np.random.default_rng(0)
    first = pd.Timestamp("2013-03-01", tz="UTC")
    test = pd.DataFrame(
        {
            "is_late": pair.truth.values,
            "id": np.arange(size),
            "event_time": first + pd.to_timedelta(pair.days, unit="D"),
            "x": rng.normal(size=size),
        }
    )

    def judged(predictions: np.ndarray) -> ModelScores:
        found = metrics.measure(pair.truth, predictions)
        return ModelScores(predictions=predictions, metrics=found, ms_per_row=0.01)

    trivial = judged(trivial_baseline(pair.truth, rows=size))
    return GateInputs(
        test=test,
        train=test.assign(id=test["id"] + size),
        truth=pair.truth,
        challenger=judged(pair.one),
        champion=judged(pair.other),
        trivial=trivial,
        linear=trivial,
        artifact_bytes=1,
        shuffled=(0.01, -0.01, 0.0, 0.0) * 5,
        importances=(Importance(name="x", cost=1.0, error=0.1),),
    )


@pytest.fixture
def plain(spec):
    """Gates as they are by default, with one input."""
    examples = spec.examples.model_copy(
        update={"numeric": ("x",), "categorical": (), "entity_key": ("id",)}
    )
    return spec.model_copy(update={"examples": examples, "gates": Gates()})


def is_promoted(spec, contest: GateInputs) -> bool:
    return all(check.status != "failed" for check in check_gates(spec, contest))


@pytest.fixture(scope="module")
def real_pairs() -> list[Pair]:
    """Two models of one pipeline on disjoint halves of 30 days, for 40 random weeks of 2013."""
    return list(pairs_on_flights(flights_of_2013(), weeks=40, seed=0, train_days=30))


def report(capsys, what: str, promoted: int, tries: int) -> None:
    low, high = wilson(promoted, tries)
    with capsys.disabled():
        print(
            f"\n{what}: {promoted} of {tries} promoted, {promoted / tries:.1%} "
            f"[{low:.1%}, {high:.1%}]"
        )


def test_of_240_equal_challengers_on_the_flights_at_most_one_in_twenty_is_promoted(
    plain, real_pairs, capsys
):
    """The exact null: predictions exchanged day by day at random, six times for each pair."""
    rng = np.random.default_rng(1)
    tries = [pair.exchanged(rng) for pair in real_pairs for _ in range(TRIES // len(real_pairs))]

    promoted = sum(is_promoted(plain, contest_of(pair, plain)) for pair in tries)

    report(capsys, "equal challengers on the flights", promoted, len(tries))
    assert len(tries) == TRIES
    assert promoted <= 0.05 * TRIES


def test_rows_taken_one_by_one_would_promote_many_of_them(real_pairs, capsys):
    """Else the test before this one could not have found the fault it is for."""
    rng = np.random.default_rng(1)
    tries = [pair.exchanged(rng) for pair in real_pairs for _ in range(TRIES // len(real_pairs))]

    def is_promoted_by_rows(pair: Pair) -> bool:
        every = np.arange(len(pair.days))
        values = pair.truth.values
        found, error = obuchowski_gain(values, pair.one, pair.other, clusters=every)
        return found > 1.96 * error

    promoted = sum(map(is_promoted_by_rows, tries))

    report(capsys, "the same by rows", promoted, len(tries))
    assert promoted > 0.1 * TRIES


@pytest.mark.parametrize("rows", [1_001, 14_000])
@pytest.mark.parametrize("effect", [{}, {"bias": 0.3}, {"skill": 0.2}], ids=str)
@pytest.mark.parametrize(
    ("problem", "metric"),
    [("binary", "roc_auc"), ("binary", "brier_loss"), ("regression", "mean_absolute_error")],
)
def test_of_400_equal_pairs_with_effects_of_the_day_at_most_one_in_twenty_is_promoted(
    problem, metric, effect, rows, capsys
):
    rng = np.random.default_rng(2)
    promoted = 0
    for _ in range(400):
        pair = simulated_pair(rng, problem=problem, rows=rows, **effect)
        one, other = pair.one, pair.other
        if metric == "brier_loss":
            one, other = (1 / (1 + np.exp(-p)) for p in (one, other))
        promoted += (
            paired_gain(
                pair.truth, one, other, metric=metric, confidence=0.975, clusters=pair.days
            )[1]
            > 0
        )

    report(capsys, f"{problem}, {metric}, {effect or 'no day effect'}, {rows} rows", promoted, 400)
    assert promoted <= 0.05 * 400


@pytest.fixture
def equal(real_pairs) -> GateInputs:
    return real_pairs[0].exchanged(np.random.default_rng(1))


def test_what_holds_the_equal_pairs_is_the_champion_and_nothing_else(plain, equal):
    """Else the rate above would say nothing of the comparison."""
    alone = check_gates(plain, replace(contest_of(equal, plain), champion=None))

    assert [check.name for check in alone if check.status == "failed"] == []


def test_a_clearly_better_one_is_promoted_on_every_week_of_the_flights(plain, real_pairs):
    """The other direction: against a model that knows half as much, on the same real days."""
    rng = np.random.default_rng(3)

    def against_a_poor_one(pair: Pair) -> GateInputs:
        noise = rng.normal(0, 3 * pair.other.std(), len(pair.other))
        return contest_of(replace(pair, other=np.clip(pair.other + noise, 0.01, 0.99)), plain)

    promoted = [is_promoted(plain, against_a_poor_one(pair)) for pair in real_pairs]

    assert sum(promoted) >= 0.95 * len(promoted)


@pytest.mark.parametrize("days", [7, 14])
def test_the_power_of_the_gate_is_counted(days, capsys):
    """1,001 rows in 7 days: half of the signal's noise against 1.5 times that."""
    rng = np.random.default_rng(4)
    pairs = [
        simulated_pair(rng, problem="binary", rows=143 * days, days=days, worse=1.5)
        for _ in range(100)
    ]

    promoted = sum(
        paired_gain(p.truth, p.one, p.other, metric="roc_auc", confidence=0.975, clusters=p.days)[1]
        > 0
        for p in pairs
    )

    report(
        capsys,
        f"better by {_mean_gain(pairs):+.3f}, {143 * days} rows in {days} days",
        promoted,
        len(pairs),
    )
    assert promoted >= {7: 30, 14: 70}[days]


def _mean_gain(pairs: list[Pair]) -> float:
    return float(
        np.mean(
            [obuchowski_gain(p.truth.values, p.one, p.other, clusters=p.days)[0] for p in pairs]
        )
    )


def test_the_same_day_gives_the_same_verdict(plain, equal):
    first, again = (check_gates(plain, contest_of(equal, plain)) for _ in range(2))

    assert first == again
