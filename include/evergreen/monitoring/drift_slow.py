"""
Find drift that is too slow for a reference that moves with it.

The last three weeks of a column are compared with the seven weeks before them. Each day has one
score per column: of numbers the probability that a row of the day is larger than one of the seven
weeks (Mann and Whitney, Annals of Mathematical Statistics 18, 1947; 0.5 if nothing moved), of
categories the share of each frequent one, and the share of missing values. The difference of each
day's score from those of its weekday goes into an exponentially weighted moving average (Roberts,
"Control Chart Tests Based on Geometric Moving Averages", Technometrics 1, 1959), whose standard
error knows that one day resembles the next (Lu and Reynolds, Journal of Quality Technology 31,
1999). A season is slow drift too; how much a column moves by itself, in weather above all, is in
that error, and a shift too small to matter is none.

Pure: summaries in, numbers out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evergreen.monitoring.drift_distances import MISSING
from evergreen.monitoring.drift_summaries import ColumnSummary, Summaries, kind_of

#: Days that may have drifted, and the whole weeks before them that they are compared with.
RECENT_DAYS, BASELINE_DAYS = 21, 49
#: A drift that was found is not found anew within so many days.
REST_DAYS = 14
#: Days within reach that a result needs; fewer days with rows in the baseline give none.
NEEDED_DAYS = RECENT_DAYS + BASELINE_DAYS + REST_DAYS
MIN_BASELINE_DAYS = 28
#: The weight of the newest day in the moving average; the best for drift of one standard deviation
#: in a month (docs/monitoring.md).
NEWEST = 0.15
#: A smaller shift is of no use to anybody: of a probability or of a share.
MATERIAL = 0.06
#: Categories rarer than this in the baseline have no score, and at most so many have one.
FREQUENT, MOST_CATEGORIES = 0.05, 5
#: Correlation of one day with the next before anything is known, and the days that it counts for.
PRIOR_CORRELATION, PRIOR_DAYS, MAX_CORRELATION = 0.4, 30, 0.95
#: A day with fewer rows than this share of the usual has no score.
LEAST_ROWS = 0.25
#: Least standard deviation of a day's score.
LEAST_DEVIATION = 0.005
#: Degrees of freedom of a standard deviation from seven weeks of correlated days.
FREEDOM = 30

Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How far a score of the last days lies from the baseline, beside what would be an alarm."""

    name: str
    baseline: float
    recent: float
    error: float
    limit: float

    @property
    def size(self) -> float:
        """The shift as a share of what would be an alarm, at least 1 if it is one."""
        moved = abs(self.recent - self.baseline)
        return min(moved / (self.limit * self.error), moved / MATERIAL)

    @property
    def is_beyond(self) -> bool:
        """Whether it is both larger than chance allows, and large enough to matter."""
        return self.size > 1


def slow_shifts(
    days: Mapping[date, Summaries], day: date, *, skip: set[str], false_alarm_rate: float
) -> list[Shift] | None:
    """
    Return the shift of each score of the days up to *day*, the largest first.

    :param days: Summaries within reach; a day that is not there is left out.
    :param skip: Columns without a score, such as those that follow the calendar.
    :param false_alarm_rate: Of an ordinary day, over all scores together (Bonferroni).
    :return: None if fewer than 28 days of the baseline, or half of the last ones, are there.
    """
    window = [day - timedelta(days=n) for n in range(RECENT_DAYS + BASELINE_DAYS - 1, -1, -1)]
    there = np.array([one in days for one in window])
    if there[:BASELINE_DAYS].sum() < MIN_BASELINE_DAYS or (
        2 * there[BASELINE_DAYS:].sum() < RECENT_DAYS or day not in days
    ):
        return None
    names = [name for name in days[day] if name not in skip]
    found = [
        _measured(name, scores)
        for column in names
        for name, scores in _scores(
            column, [days[one].get(column) if one in days else None for one in window]
        )
    ]
    moving = [one for one in found if one is not None]
    limit = float(stats.t.isf(false_alarm_rate / (2 * max(len(moving), 1)), FREEDOM))
    shifts = [
        Shift(name=name, baseline=base, recent=base + moved, error=error, limit=limit)
        for name, base, moved, error in moving
    ]
    return sorted(shifts, key=lambda one: one.size, reverse=True)


def _scores(column: str, days: Sequence[ColumnSummary | None]) -> Iterator[tuple[str, Scores]]:
    """Yield each score of *column* on *days*, NaN where it has none."""
    missing = np.array([np.nan if of is None else of.missing for of in days])
    yield f"{column}{MISSING}", missing
    usual = float(np.median([of.rows for of in days[:BASELINE_DAYS] if of is not None]))
    least = max(LEAST_ROWS * usual, 1)
    known = [of if of is not None and of.rows >= least else None for of in days]
    baseline = [of for of in known[:BASELINE_DAYS] if of is not None]
    if kind_of(baseline) is float:
        yield column, _larger(baseline, known)
    elif kind_of(baseline) is str:
        shares: dict[str, float] = {}
        for of in baseline:
            for text, share in zip(of.texts, of.shares, strict=True):
                shares[text] = shares.get(text, 0.0) + share / len(baseline)
        frequent = [text for text, share in shares.items() if share >= FREQUENT]
        for text in sorted(frequent, key=lambda one: shares[one])[-MOST_CATEGORIES:]:
            yield (
                f"{column} = {text}",
                np.array([np.nan if of is None else _share(of, text) for of in known]),
            )


def _share(of: ColumnSummary, text: str) -> float:
    return dict(zip(of.texts, of.shares, strict=False)).get(text, 0.0)


def _larger(baseline: Sequence[ColumnSummary], days: Sequence[ColumnSummary | None]) -> Scores:
    """Return the probability that a row of each day is larger than one of *baseline*."""
    values = np.concatenate([of.numbers for of in baseline])
    weights = np.concatenate([of.shares for of in baseline])
    order = np.argsort(values, kind="stable")
    values, below = values[order], np.append(0.0, np.cumsum(weights[order]) / weights.sum())
    found = np.full(len(days), np.nan)
    for n, of in enumerate(days):
        if of is None or not of.numbers:
            continue
        smaller = below[np.searchsorted(values, of.numbers, side="left")]
        not_larger = below[np.searchsorted(values, of.numbers, side="right")]
        found[n] = float(np.dot((smaller + not_larger) / 2, of.shares))
    return found


def _measured(name: str, scores: Scores) -> tuple[str, float, float, float] | None:
    """Return the name, the mean of the baseline, the average shift and its standard error."""
    weekdays = np.arange(len(scores)) % 7
    base = scores[:BASELINE_DAYS]
    there = ~np.isnan(base)
    count = int(there.sum())
    recent = ~np.isnan(scores[BASELINE_DAYS:])
    if (
        count < MIN_BASELINE_DAYS
        or 2 * recent.sum() < RECENT_DAYS
        or np.ptp(scores[~np.isnan(scores)]) == 0
    ):
        return None
    mean = float(base[there].mean())
    usual = np.full(7, mean)
    for weekday in range(7):
        same = base[(weekdays[:BASELINE_DAYS] == weekday) & there]
        usual[weekday] = same.mean() if len(same) else mean
    rest = scores - usual[weekdays]
    before = rest[:BASELINE_DAYS]
    deviation = float(np.sqrt(np.nansum(before**2) / max(count - 7, 1)))
    moved, variance = _average(rest[BASELINE_DAYS:], correlation := _correlation(before))
    variance += (1 + correlation) / (1 - correlation) / count
    return name, mean, moved, max(deviation, LEAST_DEVIATION) * float(np.sqrt(variance))


def _correlation(rest: Scores) -> float:
    """Return how one day resembles the next, corrected as by Kendall (Biometrika 41, 1954)."""
    pairs = ~np.isnan(rest[:-1]) & ~np.isnan(rest[1:])
    count, total = int(pairs.sum()), float(np.nansum(rest**2))
    if not count or total == 0:
        return PRIOR_CORRELATION
    found = float(np.sum(rest[:-1][pairs] * rest[1:][pairs])) / total
    found += (1 + 4 * found) / count
    found = (count * found + PRIOR_DAYS * PRIOR_CORRELATION) / (count + PRIOR_DAYS)
    return min(max(found, 0.0), MAX_CORRELATION)


def _average(rest: Scores, correlation: float) -> tuple[float, float]:
    """Return the moving average at the last day, and its variance for days of variance 1."""
    place = np.flatnonzero(~np.isnan(rest))
    weights = (1 - NEWEST) ** (len(rest) - 1 - place)
    weights /= weights.sum()
    alike = correlation ** np.abs(np.subtract.outer(place, place))
    return float(weights @ rest[place]), float(weights @ alike @ weights)
