"""
How far the rows of a day lie from those they are compared with, column by column.

How values are placed (Wasserstein in the column's own units, Jensen-Shannon for categories), how
wide numbers are spread, what share is missing, what share the reference does not know, and what
share of the numbers cannot be measured. Pure: frames in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from evergreen.monitoring.drift_columns import (
    as_texts,
    comparable,
    is_measurable,
    is_text,
    tolerance_of,
)

#: The column of what the champion says, beside the columns of what it is asked.
PREDICTION = "prediction (champion)"
MISSING = ": missing"
UNSEEN = ": unseen categories"
SPREAD = ": spread"
UNMEASURABLE = ": infinite or too large"
#: The largest Jensen-Shannon distance there can be: scipy's is the root of a divergence in nats.
MAX_JENSEN_SHANNON = math.sqrt(math.log(2))
#: Rows that are independent draws of the reference lie farther from it on one day in a thousand.
CHANCE = 0.001

Numbers = NDArray[np.float64]
#: The values of one column that can be measured, of the reference and of the day.
Sides = tuple[pd.Series, pd.Series]
#: The name of a column, what can be measured of both sides, and all of both sides.
Column = tuple[str, Sides, Sides]


def column_of(distance: str) -> str:
    """Return the column whose distance has the name *distance*."""
    for suffix in (MISSING, UNSEEN, SPREAD, UNMEASURABLE):
        distance = distance.removesuffix(suffix)
    return distance


def measure_distances(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """
    Return every distance between two samples of the same columns.

    Wasserstein in the column's units; Jensen-Shannon, missing and unseen from 0 to 1; of the spread
    the logarithm of how many times wider or narrower. What has no value on one side has no
    distance; its missing share tells. Numbers that differ by less than a billionth of the largest
    are the same. Numbers that are infinite or beyond 1e70 are left out of the other distances;
    their share is a distance where there are any.
    """
    return _distances(_columns(reference, current))


def measure_pair(
    reference: pd.DataFrame, current: pd.DataFrame
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return the distances of two samples, the largest possible ones, and those by chance."""
    columns = list(_columns(reference, current))
    return _distances(columns), _possible(columns), _by_chance(columns)


def _distances(columns: Iterable[Column]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (then, now), (all_then, all_now) in columns:
        shares = [len(side.dropna()) / max(len(side), 1) for side in (all_then, all_now)]
        found[f"{name}{MISSING}"] = abs(shares[1] - shares[0])
        lost = [_unmeasurable(side) for side in (all_then, all_now)]
        if any(lost):
            found[f"{name}{UNMEASURABLE}"] = abs(lost[1] - lost[0])
        if then.empty or now.empty:
            continue
        if is_text(then):
            found[name] = float(jensenshannon(*_shares(then, now)))
            found[f"{name}{UNSEEN}"] = float((~now.isin(then.unique())).mean())
        else:
            found |= _between_numbers(name, then.to_numpy(), now.to_numpy())
    return found


def possible_distances(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """
    Return the largest distance that each column of the two samples can have, where it is bounded.

    Shares are at most 1. Numbers lie at most as far apart as the smallest and the largest value of
    both samples, for as long as no other value occurs. Of the spread nothing bounds the distance.
    """
    return _possible(_columns(reference, current))


def _possible(columns: Iterable[Column]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (then, now), _ in columns:
        found[f"{name}{MISSING}"] = 1.0
        both = pd.concat([then, now])
        if both.empty:
            continue
        if is_text(both):
            found[name] = MAX_JENSEN_SHANNON
            found[f"{name}{UNSEEN}"] = 1.0
        elif (span := float(both.max()) - float(both.min())) > tolerance_of(both.to_numpy()):
            found[name] = span
    return found


def chance_distances(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """
    Return the distances that rows drawn at random from one population exceed on 1 day in 1,000.

    A distance below that is no evidence of anything, however regular the days before it were: each
    hour once a day, or 20 rows. Shares and means by their standard error, the spread by the delta
    method, unseen categories by the share of those that occur once (Good, Biometrika 40, 1953),
    Jensen-Shannon by chi-squared, over the categories that are frequent enough for it (Menendez et
    al., "The Jensen-Shannon divergence", Journal of the Franklin Institute 334, 1997). Rare
    categories lie farther away by chance than this; the days before show how far.
    """
    return _by_chance(_columns(reference, current))


def _by_chance(columns: Iterable[Column]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (then, now), (all_then, all_now) in columns:
        both = pd.concat([all_then, all_now])
        found[f"{name}{MISSING}"] = _share_by_chance(
            float(both.isna().mean()), len(all_then), len(all_now)
        )
        if then.empty or now.empty:
            continue
        scale = 1 / len(then) + 1 / len(now)
        if is_text(then):
            known = then.value_counts()
            once = max(int((known == 1).sum()), 1) / len(then)
            found[f"{name}{UNSEEN}"] = _share_by_chance(once, len(then), len(now))
            frequent = int(((known / len(then)) >= 1 / len(now)).sum())
            divergence = float(stats.chi2.isf(CHANCE, max(frequent - 1, 1))) * scale / 8
            found[name] = math.sqrt(divergence)
        else:
            found |= _numbers_by_chance(name, then.to_numpy(), now.to_numpy())
    return found


def _columns(reference: pd.DataFrame, current: pd.DataFrame) -> Iterator[Column]:
    """Yield each column: what can be measured of both sides, and all of both sides."""
    then, now = comparable(reference), comparable(current)
    for name in then.columns:
        sides = then[name], now[name]
        kinds = {is_text(side) for side in sides if side.notna().any()}
        if kinds == {True, False}:  # another type since: nothing of it is known
            sides = as_texts(sides[0]), as_texts(sides[1])
        yield str(name), (_measured(sides[0]), _measured(sides[1])), sides


def _measured(values: pd.Series) -> pd.Series:
    return values.dropna() if is_text(values) else values[is_measurable(values)]


def _unmeasurable(values: pd.Series) -> float:
    if is_text(values) or values.empty:
        return 0.0
    return float((values.notna() & ~is_measurable(values)).mean())


def _shares(then: pd.Series, now: pd.Series) -> tuple[pd.Series, pd.Series]:
    shares = [side.value_counts(normalize=True) for side in (then, now)]
    both = pd.concat(shares, axis=1).fillna(0.0)
    return both.iloc[:, 0], both.iloc[:, 1]


def _between_numbers(name: str, then: Numbers, now: Numbers) -> dict[str, float]:
    same = tolerance_of(then)
    distance = float(stats.wasserstein_distance(then, now))
    found = {name: distance if distance > same else 0.0}
    widths = [float(np.std(side)) for side in (then, now)]
    if min(widths) > same:
        found[f"{name}{SPREAD}"] = abs(math.log(widths[1] / widths[0]))
    return found


def _share_by_chance(share: float, then: int, now: int) -> float:
    error = math.sqrt(share * (1 - share) * (1 / max(then, 1) + 1 / max(now, 1)))
    return float(stats.norm.isf(CHANCE / 2)) * error


def _numbers_by_chance(name: str, then: Numbers, now: Numbers) -> dict[str, float]:
    """Return the distances of numbers; a flag is taken with the rows of the day, for its share."""
    both = np.concatenate([then, now])
    basis = both if len(np.unique(both)) <= 2 else then
    error = math.sqrt(1 / len(then) + 1 / len(now)) * float(stats.norm.isf(CHANCE / 2))
    found = {name: float(np.std(basis)) * error}
    if float(np.std(then)) > tolerance_of(then):
        # Of shares of the largest: fourth powers of tiny numbers are 0.
        shares = then / np.abs(then).max()
        tails = max(float(stats.kurtosis(shares, fisher=False)) - 1, 0.0)
        found[f"{name}{SPREAD}"] = math.sqrt(tails) / 2 * error
    return found
