"""
Pairs of models of which neither is better, to count how often a gate promotes one.

The exact null on real days: two models are fitted on random disjoint halves of the same days and
predict the same test days; their predictions are then exchanged day by day at random. Whatever the
rows of a day have in common, neither side is better by construction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from evergreen.modeling.metrics import Labels
from models.flight_delay import feed
from models.flight_delay.prepare import prepare

NUMERIC = [
    "hour",
    "minute",
    "weekday",
    "distance",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
]
NAMES = ["origin", "dest", "carrier"]


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


def flights_of_2013() -> pd.DataFrame:
    """Return the labelled examples of the whole year, categories as codes."""
    days = pd.Timestamp("2013-01-02").date()  # prepare() does not look at it
    rows = prepare({"flights": feed._flights(), "weather": feed._weather()}, days)
    rows = rows[rows["is_late"].notna()].assign(day=rows["event_time"].dt.floor("D"))
    codes = {name: rows[name].astype("category").cat.codes for name in NAMES}
    return rows.assign(**codes).sort_values("event_time", kind="stable").reset_index(drop=True)


def pairs_on_flights(
    rows: pd.DataFrame, *, weeks: int, seed: int, train_days: int = 60, test_days: int = 7
) -> Iterator[Pair]:
    """Yield one pair for each of *weeks* random weeks of the year."""
    rng = np.random.default_rng(seed)
    first = rows["day"].min()
    last = (rows["day"].max() - first).days - test_days
    for cut in sorted(rng.choice(np.arange(train_days + 1, last), size=weeks, replace=False)):
        start = first + pd.Timedelta(days=int(cut))
        train = rows[
            rows["day"].between(
                start - pd.Timedelta(days=train_days + 1), start, inclusive="neither"
            )
        ]
        test = rows[
            rows["day"].between(start, start + pd.Timedelta(days=test_days), inclusive="left")
        ]
        side = rng.random(len(train)) < 0.5
        yield Pair(
            Labels(problem="binary", values=test["is_late"].to_numpy(dtype=bool)),
            *(
                _fit(train[half]).predict_proba(test[NUMERIC + NAMES])[:, 1]
                for half in (side, ~side)
            ),
            pd.factorize(test["day"])[0],
        )


def _fit(rows: pd.DataFrame) -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    return model.fit(rows[NUMERIC + NAMES], rows["is_late"].to_numpy(dtype=bool))


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


def wilson(hits: int, tries: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson, JASA 22, 1927)."""
    share, spread = hits / tries, z**2 / tries
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / tries + spread / (4 * tries)) / (1 + spread)
    return centre - half, centre + half
