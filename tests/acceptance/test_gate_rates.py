"""
How often the champion gate promotes a challenger that is equal to the champion, and one that is
better: counted on the flights of 2013, by the exact null of tests/support/equal_pairs.py, and on
simulated days with effects of their own. `make bench-decisions` counts more tries on more data.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evergreen.modeling import metrics
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.gate_inputs import GateInputs, ModelScores
from evergreen.modeling.gates import check_gates
from evergreen.modeling.paired_gain import obuchowski_gain, paired_gain
from evergreen.receipts.modeling import Importance
from evergreen.spec.modeling import Gates
from tests.support.datasets import flights_of_2013
from tests.support.equal_pairs import (
    Pair,
    pairs_of,
    simulated_pair,
    wilson,
)

pytestmark = pytest.mark.slow  # make test-slow

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
    return list(pairs_of(flights_of_2013(), weeks=40, seed=0, train_days=30))


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
        found = paired_gain(pair.truth, one, other, metric=metric, clusters=pair.days)
        promoted += found.lower(0.975) > 0

    report(capsys, f"{problem}, {metric}, {effect or 'no day effect'}, {rows} rows", promoted, 400)
    assert promoted <= 0.05 * 400


@pytest.fixture
def equal(real_pairs) -> GateInputs:
    return real_pairs[0].exchanged(np.random.default_rng(1))


def test_what_holds_the_equal_pairs_is_the_champion_and_nothing_else(plain, equal):
    """Else the rate above would say nothing of the comparison."""
    alone = check_gates(plain, replace(contest_of(equal, plain), champion=None))

    assert [check.name for check in alone if check.status == "failed"] == []


def test_against_a_noisy_champion_on_the_flights_at_least_95_percent_are_promoted(
    plain, real_pairs
):
    """Power: the champion's predictions have noise of three standard deviations added."""
    rng = np.random.default_rng(3)

    def against_a_poor_one(pair: Pair) -> GateInputs:
        noise = rng.normal(0, 3 * pair.other.std(), len(pair.other))
        return contest_of(replace(pair, other=np.clip(pair.other + noise, 0.01, 0.99)), plain)

    promoted = [is_promoted(plain, against_a_poor_one(pair)) for pair in real_pairs]

    assert sum(promoted) >= 0.95 * len(promoted)


@pytest.mark.parametrize("days", [7, 14])
def test_better_ones_are_promoted_in_30_of_100_tries_by_7_days_and_70_by_14(days, capsys):
    """1,001 rows in 7 days: half of the signal's noise against 1.5 times that."""
    rng = np.random.default_rng(4)
    pairs = [
        simulated_pair(rng, problem="binary", rows=143 * days, days=days, worse=1.5)
        for _ in range(100)
    ]

    promoted = sum(
        paired_gain(p.truth, p.one, p.other, metric="roc_auc", clusters=p.days).lower(0.975) > 0
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
