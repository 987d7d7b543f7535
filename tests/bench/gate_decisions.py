"""
Measure how the gates decide, on real and simulated days, beside what is usual in their place.

The exact null on real days: two models of one pipeline are fitted on random disjoint halves of the
same 60 days, and their predictions of the test days are exchanged day by day at random. Neither is
better by construction. The flights, police stops of Minneapolis, bike rentals of Washington, and
simulated days with effects of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats
from tests.bench.rates import Mean, Rate
from tests.support import gate_cases
from tests.support.datasets import Dataset, bike_rentals, flights_of_2013, police_stops
from tests.support.equal_pairs import Pair, fresh_and_old, pairs_of, simulated_pair

from evergreen.modeling import metrics
from evergreen.modeling.baseline_gate import baseline_check
from evergreen.modeling.calibration_gate import calibration_checks
from evergreen.modeling.paired_gain import obuchowski_gain, paired_gain
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import DEFAULT_METRIC

#: The level of an evaluation on the first night, and after a year of nights (docs/gates.md).
FIRST_NIGHT, AFTER_A_YEAR = 0.0083, 0.0012
ALONE = 0.025
Method = Callable[[Pair], bool]


def by_days(level: float) -> Method:
    """Return the product's decision at *level*: days as clusters."""

    def decide(pair: Pair) -> bool:
        metric = DEFAULT_METRIC[pair.truth.problem]
        found = paired_gain(pair.truth, pair.one, pair.other, metric=metric, clusters=pair.days)
        return bool(found.lower(1 - level) > 0)

    return decide


def by_delong(pair: Pair) -> bool:
    """Decide as if rows were independent, by DeLong's test (Biometrics 44, 1988)."""
    found, error = obuchowski_gain(
        pair.truth.values, pair.one, pair.other, clusters=np.arange(len(pair.days))
    )
    return bool(found > stats.norm.ppf(1 - ALONE) * error)


def by_rows(pair: Pair, *, resamples: int = 200) -> bool:
    """Decide by a bootstrap of rows, as is usual with scikit-learn's metrics."""
    rng, metric = np.random.default_rng(0), DEFAULT_METRIC[pair.truth.problem]
    gains = []
    for _ in range(resamples):
        rows = rng.integers(0, len(pair.days), len(pair.days))
        some = pair.truth.take(rows)
        if not some.is_measurable:
            continue
        ours, theirs = (metrics.value(some, metric, p[rows]) for p in (pair.one, pair.other))
        gains.append(metrics.gain(metric, ours, theirs))
    return bool(np.quantile(gains, ALONE) > 0)


def methods(problem: str) -> dict[str, Method]:
    """Return the ways to decide whether a challenger is better."""
    usual: dict[str, Method] = (
        {"DeLong by rows": by_delong} if problem == "binary" else {"bootstrap of rows": by_rows}
    )
    return {
        "Evergreen, one evaluation at 2.5%": by_days(ALONE),
        "Evergreen, after a year of nights": by_days(AFTER_A_YEAR),
    } | usual


def counted(
    decision: str, data: str, pairs: Sequence[Pair], *, only: Sequence[str] = ()
) -> Iterator[Rate]:
    """Yield how often each method promotes the one of *pairs* over the other."""
    for name, decide in methods(pairs[0].truth.problem).items():
        if only and name not in only:
            continue
        started = time.process_time()
        events = sum(map(decide, pairs))
        yield Rate(decision, data, name, len(pairs), events, time.process_time() - started)


def equal_on(data: Dataset, *, tries: int, test_days: int, seed: int = 0) -> list[Pair]:
    """Return *tries* pairs of the exact null, several of each of up to 40 windows."""
    weeks = min(40, tries)
    rng = np.random.default_rng(seed + 1)
    found = list(pairs_of(data, weeks=weeks, seed=seed, test_days=test_days))
    return [found[n % len(found)].exchanged(rng) for n in range(tries)]


def equal_challengers(*, tries: int) -> Iterator[Rate]:
    """Yield how often an equal challenger is promoted on real days."""
    for data in (flights_of_2013(), police_stops(), bike_rentals()):
        for days in (7, 14):
            pairs = equal_on(data, tries=tries, test_days=days)
            name = f"{data.name}, {days} test days"
            yield from counted("promotes an equal challenger", name, pairs)


def equal_simulated(*, tries: int) -> Iterator[Rate]:
    """Yield the same on simulated days with effects of their own."""
    for rows in (1_001, 49_999):
        for effect in ({"bias": 0.3}, {"skill": 0.2}):
            rng = np.random.default_rng(2)
            drawn = [
                simulated_pair(rng, problem="binary", rows=rows, **effect) for _ in range(tries)
            ]
            what, amount = next(iter(effect.items()))
            name = f"simulator, {rows:,} rows in 7 days, {what} of days {amount}"
            yield from counted("promotes an equal challenger", name, drawn)


def power(*, tries: int) -> Iterator[Rate]:
    """Yield how often a better challenger is promoted: 143 and 900 rows a day."""
    for rows, days in ((143, 7), (143, 14), (143, 28), (900, 7), (900, 14)):
        rng = np.random.default_rng(4)
        pairs = [
            simulated_pair(rng, problem="binary", rows=rows * days, days=days, bias=0.3, worse=1.5)
            for _ in range(tries)
        ]
        gain = np.mean(
            [obuchowski_gain(p.truth.values, p.one, p.other, clusters=p.days)[0] for p in pairs]
        )
        name = f"simulator, {rows} rows a day, {days} days, {gain:+.3f} ROC-AUC"
        ours = [m for m in methods("binary") if m.startswith("Evergreen")]
        yield from counted("promotes a better challenger", name, pairs, only=ours)


def cost_of_test_days(*, weeks: int) -> Iterator[Mean]:
    """Yield what a model loses by days a week older, as 14 test days ask instead of 7."""
    for data in (flights_of_2013(), police_stops(), bike_rentals()):
        started, metric = time.process_time(), DEFAULT_METRIC[data.problem]
        lost = [
            metrics.gain(metric, *(metrics.value(truth, metric, p) for p in (fresh, old)))
            for truth, fresh, old in fresh_and_old(data, weeks=weeks, seed=7, older_days=7)
        ]
        error = float(np.std(lost, ddof=1) / np.sqrt(len(lost)))
        what, spent = f"loss of {metric} of the older one", time.process_time() - started
        yield Mean(
            what, data.name, "Evergreen's gain", len(lost), float(np.mean(lost)), error, spent
        )


def linear_baseline(*, tries: int) -> Iterator[Rate]:
    """Yield how often a challenger is held that is as good as the linear model, or worse."""
    for decision, worse in (("as good as", 1.0), ("worse than", 2.0)):
        for rows in (301, 1_001, 5_005):
            rng, started, held = np.random.default_rng(5), time.process_time(), 0
            for _ in range(tries):
                pair = simulated_pair(rng, problem="binary", rows=rows, bias=0.3, worse=worse)
                ours, theirs = (gate_cases.sigmoid(p) for p in (pair.other, pair.one))
                held += _is_held_by_linear(pair, ours, theirs)
            seconds = time.process_time() - started
            yield Rate(
                f"holds a challenger {decision} the linear model",
                f"simulator, {rows:,} rows in 7 days",
                "Evergreen",
                tries,
                held,
                seconds,
            )


def _is_held_by_linear(pair: Pair, ours: np.ndarray, theirs: np.ndarray) -> bool:
    check = baseline_check(
        "the linear baseline",
        metric="roc_auc",
        truth=pair.truth,
        challenger=gate_cases.scores_of(pair.truth, ours),
        baseline=gate_cases.scores_of(pair.truth, theirs),
        days=pair.days,
        margin=-0.01,
        confidence=0.975,
        is_demand=False,
    )
    return check.status == "failed"


#: Name, options of the simulator, and how many times too high the probabilities are.
CALIBRATION = (
    ("true probabilities, 200 rows, 50% positives", {"rows": 200, "share": 0.5}, 1),
    ("true probabilities, 300 rows, 2% positives", {"rows": 300, "share": 0.02}, 1),
    ("true probabilities, 3,000 rows, day effects", {"rows": 3000, "share": 0.2, "effect": 0.5}, 1),
    ("5 times too high at 1%", {"rows": 3000, "share": 0.01}, 5),
    ("2.5 times too high at 5%", {"rows": 3000, "share": 0.05}, 2.5),
    ("ten times too low at 1%", {"rows": 3000, "share": 0.01}, 0.1),
)


def calibration(spec: ModelSpec, *, tries: int) -> Iterator[Rate]:
    """Yield how often the calibration of a challenger holds it."""
    for name, case, times in CALIBRATION:
        rng, started, held = np.random.default_rng(6), time.process_time(), 0
        for _ in range(tries):
            truth, chances, days = gate_cases.binary(rng, **case)
            inputs = gate_cases.inputs_of(truth, np.clip(chances * times, 0, 1), days)
            held += any(c.status == "failed" for c in calibration_checks(spec, inputs))
        seconds = time.process_time() - started
        yield Rate("holds for calibration", name, "Evergreen", tries, held, seconds)


def gate_rates(spec: ModelSpec, *, tries: int) -> Iterator[Rate]:
    """Yield the rates of all gates; *tries* is 400 in full."""
    yield from equal_challengers(tries=tries)
    yield from equal_simulated(tries=tries)
    yield from power(tries=max(tries // 2, 1))
    yield from linear_baseline(tries=max(tries // 2, 1))
    yield from calibration(spec, tries=max(tries // 2, 1))
