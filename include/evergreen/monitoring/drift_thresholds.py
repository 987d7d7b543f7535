"""
Tell a day that lies too far from its reference, by how far days lay from theirs before.

Days are not independent samples: weather and seasons move a whole day at once, so thresholds made
for independent rows mark most columns of an ordinary day (FACTS, "Evidently"). Here each column has
its own yardstick, the distances of the days before. How surprising a distance is beside them is
comparable between columns; the most surprising one of a day decides, held against the most
surprising ones of the days before. That controls the rate over all columns together, however they
hang together (Westfall and Young, "Resampling-Based Multiple Testing", Wiley 1993: maxT).

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

#: With fewer days than this an alarm cannot be distinguished from an ordinary day.
MIN_THRESHOLD_DAYS = 7
#: Distances are squares of something like a normal deviate: their fourth roots are nearly normal
#: (Hawkins and Wixley, "A Note on the Transformation of Chi-Squared Variables to Normality", The
#: American Statistician 40(4), 1986).
POWER = 0.25
#: A distance varies at least by this share of itself: a column that never moved may move a little.
MIN_SPREAD = 0.25
#: A column that differs from its reference on more than one day in ten does so on ordinary days:
#: the spread reaches at least to the distance of that day, at its place in a normal sample.
ORDINARY = 0.9
#: On these shares of the days before, no column may surprise by more than so many times what a
#: normal sample does: else a handful of flags would set the limits of all columns.
TAILS, HEAVIEST = (0.9, 0.95, 0.975), 1.25
#: A distance below this share of the usual one, or of what chance allows, is as good as none.
MIN_RELATIVE_DISTANCE = 0.1
#: What went beyond a limit at least so many times in the days before, with at least so many days
#: between, is ordinary for that column. Less is a fault that was repaired.
ORDINARY_SPELLS, DAYS_BETWEEN = 2, 7
#: A median absolute deviation of a normal sample is its standard deviation over this.
MAD_TO_SD = 1.4826


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """
    The usual distance of one column, and that beyond which it is an alarm; in its units.

    ``possible`` is the largest distance there can be, None where nothing bounds it.
    """

    usual: float
    limit: float
    possible: float | None = None

    @property
    def can_alarm(self) -> bool:
        """Whether a possible distance lies beyond the limit."""
        return self.possible is None or self.limit < self.possible


def thresholds(
    history: pd.DataFrame,
    *,
    weights: Mapping[str, float],
    resolution: Mapping[str, float],
    false_alarm_rate: float,
    possible: Mapping[str, float] | None = None,
    by_chance: Mapping[str, float] | None = None,
) -> dict[str, Threshold]:
    """
    Return per column the distance beyond which a day is an alarm.

    A Gumbel distribution, that of a maximum, is laid through the quartiles of the days' greatest
    surprises, so that single odd days of the past, such as holidays and faults that were mended, do
    not make the present blind. For that fit no column may have tails far heavier than a normal
    sample, so that those which equal their reference on most days do not set the limits of all. The
    step from its median to the wanted quantile is stretched by ``1 + 7 / days``, because spread and
    quartiles of a short history are themselves uncertain; in simulation that holds the rate from 7
    days on (docs/monitoring.md). A limit is at least what chance allows, and what its own column
    reached on two occasions before.

    :param history: Distances, shape ``(days, columns)``, at least 0, NaN where there was none,
        oldest day first.
    :param weights: What a column is worth, 1 on average; one that is missing is worth 1.
    :param resolution: Distances that cannot be distinguished from none, where they are known.
    :param possible: The largest distance there can be, where something bounds it.
    :param by_chance: The distance that independent rows exceed once in a thousand days.
    :param false_alarm_rate: Chance of an alarm on an ordinary day, over all columns together.
    :return: Nothing if *history* has fewer than 7 days.
    """
    if len(history) < MIN_THRESHOLD_DAYS:
        return {}
    history = history.loc[:, history.notna().sum() >= MIN_THRESHOLD_DAYS]
    chance = pd.Series(by_chance or {}, dtype=float).reindex(history.columns).fillna(0.0)
    usual = history.median()
    finest = _finest(history, resolution, chance)
    roots = (history + finest) ** POWER
    centre = roots.median()
    spread, fitted = _spreads(roots, MIN_SPREAD * POWER * (usual + finest) ** POWER)
    worth = pd.Series(weights, dtype=float).reindex(usual.index).fillna(1.0)
    surprises = _weighted((roots - centre) / fitted, worth)
    limit = _quantile_of_maximum(surprises.max(axis=1).to_numpy(), 1 - false_alarm_rate)
    limits = (centre + spread * _unweighted(limit, worth)) ** (1 / POWER) - finest
    limits = limits.clip(lower=chance)
    return {
        str(name): Threshold(
            usual=float(usual[name]),
            limit=_beyond_ordinary(history[name].to_numpy(), float(limits[name])),
            possible=(possible or {}).get(str(name)),
        )
        for name in history.columns
    }


def _finest(history: pd.DataFrame, resolution: Mapping[str, float], chance: pd.Series) -> pd.Series:
    """Return the distance of each column that is as good as none."""
    usual = history.median()
    finest = (MIN_RELATIVE_DISTANCE * usual.clip(lower=chance)).clip(
        lower=pd.Series(resolution, dtype=float).reindex(usual.index).fillna(0.0)
    )
    finest = finest.where(
        finest > 0, MIN_RELATIVE_DISTANCE * history.mean()
    )  # most days lie at no distance
    return finest.where(finest > 0, np.finfo(float).eps)  # all do


def _spreads(roots: pd.DataFrame, least: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the spread of each column for its own limit, and that for the limit of all."""
    centre = roots.median()
    tails = {p: (roots.quantile(p) - centre) / stats.norm.ppf(p) for p in TAILS}
    spread = (MAD_TO_SD * (roots - centre).abs().median()).clip(
        lower=np.maximum(least, tails[ORDINARY])
    )
    heavy = pd.concat(list(tails.values()), axis=1).max(axis=1) / HEAVIEST
    return spread, spread.clip(lower=heavy)


def _beyond_ordinary(distances: NDArray[np.float64], limit: float) -> float:
    """Return *limit*, raised to what *distances* reached on two separate occasions."""
    places = np.flatnonzero(distances > limit)
    if not len(places):
        return limit
    spells = np.split(places, np.flatnonzero(np.diff(places) > DAYS_BETWEEN) + 1)
    largest = sorted((float(distances[spell].max()) for spell in spells), reverse=True)
    return largest[ORDINARY_SPELLS - 1] if len(largest) >= ORDINARY_SPELLS else limit


def _weighted(surprises: pd.DataFrame, worth: pd.Series) -> pd.DataFrame:
    """
    Return *surprises* so that one of a column worth w counts as if its p-value were p / w.

    Genovese, Roeder and Wasserman, "False discovery control with p-value weighting", Biometrika
    93(3), 2006; with ``p = exp(-z**2 / 2)``, as the normal tail is for large z.
    """
    counted = np.sqrt((surprises**2 + 2 * np.log(worth)).clip(lower=0))
    return surprises.where(surprises <= 0, counted)


def _unweighted(limit: float, worth: pd.Series) -> pd.Series:
    return np.sqrt((limit**2 - 2 * np.log(worth)).clip(lower=0))


def _quantile_of_maximum(maxima: NDArray[np.float64], level: float) -> float:
    """Return the quantile *level* of a Gumbel distribution through the quartiles of *maxima*."""
    low, middle, high = np.quantile(maxima, [0.25, 0.5, 0.75])
    standard_low, standard_middle, standard_high, wanted = stats.gumbel_r.ppf(
        [0.25, 0.5, 0.75, level]
    )
    scale = (high - low) / (standard_high - standard_low)
    stretch = 1 + MIN_THRESHOLD_DAYS / len(maxima)
    return max(float(middle + stretch * scale * (wanted - standard_middle)), 1.0)
