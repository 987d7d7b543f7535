"""
Pairs of models of which neither is better, to count how often a gate promotes one.

The exact null on real days: two models are fitted on random disjoint halves of the same days and
predict the same test days; their predictions are then exchanged day by day at random. Whatever the
rows of a day have in common, neither side is better by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from evergreen.modeling.metrics import Labels
from tests.support.datasets import Dataset


@dataclass(frozen=True)
class Pair:
    """Two models' predictions of the same rows; ``days`` is the number of each row's day."""

    truth: Labels
    one: np.ndarray
    other: np.ndarray
    days: np.ndarray

    def exchanged(self, rng: np.random.Generator) -> Pair:
        """Return the pair with the two predictions exchanged on each day with probability 1/2."""
        swap = (rng.random(self.days.max() + 1) < 0.5)[self.days]
        one, other = np.where(swap, self.other, self.one), np.where(swap, self.one, self.other)
        return Pair(self.truth, one, other, self.days)


def pairs_of(
    data: Dataset, *, weeks: int, seed: int, train_days: int = 60, test_days: int = 7
) -> Iterator[Pair]:
    """Yield one pair for each of *weeks* random windows of the days of *data*."""
    rows, rng = _coded(data), np.random.default_rng(seed)
    for start in _starts(rows, rng, weeks=weeks, before=train_days + 1, after=test_days):
        train = _days(rows, start, -train_days, 0)
        test = _days(rows, start, 0, test_days)
        side = rng.random(len(train)) < 0.5
        with threadpool_limits(1):  # threads that wait for each other on so few rows cost more
            one, other = (_predicted(data, train[half], test) for half in (side, ~side))
        yield Pair(_labels(data, test), one, other, pd.factorize(test["day"])[0])


def fresh_and_old(
    data: Dataset, *, weeks: int, seed: int, older_days: int, train_days: int = 60
) -> Iterator[tuple[Labels, np.ndarray, np.ndarray]]:
    """Yield labels of random weeks, and predictions from the days before and from older ones."""
    rows, rng = _coded(data), np.random.default_rng(seed)
    before = train_days + older_days + 1
    for start in _starts(rows, rng, weeks=weeks, before=before, after=7):
        test = _days(rows, start, 0, 7)
        with threadpool_limits(1):
            fresh, old = (
                _predicted(data, _days(rows, start, -train_days - older, -older), test)
                for older in (0, older_days)
            )
        yield _labels(data, test), fresh, old


def _coded(data: Dataset) -> pd.DataFrame:
    names = [n for n in data.features if not pd.api.types.is_numeric_dtype(data.rows[n])]
    return data.rows.assign(**{n: data.rows[n].astype("category").cat.codes for n in names})


def _starts(
    rows: pd.DataFrame, rng: np.random.Generator, *, weeks: int, before: int, after: int
) -> list[pd.Timestamp]:
    first = rows["day"].min()
    possible = np.arange(before, (rows["day"].max() - first).days - after)
    drawn = rng.choice(possible, size=min(weeks, len(possible)), replace=False)
    return [first + pd.Timedelta(days=int(day)) for day in sorted(drawn)]


def _days(rows: pd.DataFrame, start: pd.Timestamp, begin: int, end: int) -> pd.DataFrame:
    days = (start + pd.Timedelta(days=n) for n in (begin, end))
    return rows[rows["day"].between(*days, inclusive="left")]


def _labels(data: Dataset, rows: pd.DataFrame) -> Labels:
    kind = bool if data.problem == "binary" else float
    return Labels(problem=data.problem, values=rows[data.label].to_numpy(dtype=kind))


def _predicted(data: Dataset, train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    inputs = list(data.features)
    if data.problem == "regression":
        model = HistGradientBoostingRegressor(max_iter=30, random_state=0)
        return model.fit(train[inputs], train[data.label]).predict(test[inputs])
    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    model.fit(train[inputs], train[data.label].to_numpy(dtype=bool))
    return model.predict_proba(test[inputs])[:, 1]


def simulated_pair(
    rng: np.random.Generator,
    *,
    problem: str,
    rows: int,
    bias: float = 0.0,
    skill: float = 0.0,
    days: int = 7,
    worse: float = 1.0,
) -> Pair:
    """
    Return two models of equal worth that each have an error of their own on each day.

    :param bias: Standard deviation of a model's offset on a day, in units of the signal.
    :param skill: Standard deviation of the logarithm of a model's noise on a day.
    :param worse: Noise of the other model over that of the one; 1 makes them equal.
    """
    day = np.repeat(np.arange(days), rows // days)
    signal = rng.normal(size=len(day))

    def predictions(noise: float) -> np.ndarray:
        offsets = rng.normal(0, bias, days) if bias else np.zeros(days)
        widths = noise * np.exp(rng.normal(0, skill, days)) if skill else np.full(days, noise)
        return signal + offsets[day] + widths[day] * rng.normal(size=len(day))

    if problem == "binary":
        values = rng.random(len(day)) < 1 / (1 + np.exp(-(signal * 1.5 - 1)))
    else:
        values = signal + rng.normal(0, 0.5, len(day))
    truth = Labels(problem=problem, values=values)
    return Pair(truth, predictions(0.5), predictions(0.5 * worse), day)


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson, JASA 22, 1927)."""
    found = stats.binomtest(hits, tries).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
