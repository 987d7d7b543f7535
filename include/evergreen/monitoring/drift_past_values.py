"""
Compare the values of a day with those of all days before it, where a few reference days mislead.

A column with one value for a whole day, such as a holiday, a season or a month, says one thing of
the day, however many rows it has. Compared with the rows of a few reference days, a new season
would be an alarm for as many weeks as those days are old. Its value is either known, or new on that
day. In the same way a category is unseen if it never occurred, not if four days lacked it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from evergreen.monitoring.drift_columns import SAME
from evergreen.monitoring.drift_distances import MAX_JENSEN_SHANNON, SPREAD, UNSEEN
from evergreen.monitoring.drift_summaries import ColumnSummary, Summaries, kind_of

#: A column follows the calendar if so large a share of its days has one value for all rows,
WHOLE_DAYS = 0.9
#: and, of numbers, the days together have at most so many values: a price of the day has more.
MOST_VALUES = 10
#: A step to a new value as large as those of so many earlier days is expected.
KNOWN_STEPS = 2

#: The values of one column by day, None where its rows differ or have none.
DayValues = Mapping[date, float | str | None]


def calendar_columns(days: Mapping[date, Summaries]) -> set[str]:
    """Return the columns that have one value for a whole day on nearly all of *days*."""
    names = {name for of in days.values() for name in of}
    known = {name: [of[name] for of in days.values() if name in of] for name in names}
    return {name for name, of in known.items() if _is_calendar(of)}


def compare_past_values(table: pd.DataFrame, days: Mapping[date, Summaries]) -> pd.DataFrame:
    """
    Return *table* with some distances replaced by those from the values of all days before.

    Of a calendar column, on a day with one value for all rows, it is the distance to the nearest
    value of any day before it: 0 if that value occurred; there is no spread, and no share of unseen
    categories. Other days of such columns keep their distance from the reference's rows. Of other
    texts the share of unseen categories counts those that occurred on no day before, where the
    summaries hold all categories.

    :param table: Distances from the reference, shape ``(days, distances)``.
    :param days: Every day within reach, also those before the first of *table*, oldest first.
    """
    calendar, replaced = calendar_columns(days), {}
    for name in sorted({name for of in days.values() for name in of}):
        values = {day: of[name] for day, of in days.items() if name in of}
        if name in calendar:
            news = _news({day: of.only_value for day, of in values.items()})
            replaced[name] = news
            for suffix in (SPREAD, UNSEEN):
                replaced[f"{name}{suffix}"] = dict.fromkeys(news, float("nan"))
        elif kind_of(list(values.values())) is str:
            replaced[f"{name}{UNSEEN}"] = _never_seen(values)
    found = table.copy()
    for name, column in replaced.items():
        if name in found:
            new = pd.Series(column, dtype=np.float64).reindex(found.index)
            there = np.array([day in column for day in found.index], dtype=bool)
            found[name] = found[name].where(~there, new)
    return found


def _is_calendar(days: Sequence[ColumnSummary]) -> bool:
    known = [of for of in days if not of.is_empty]
    values = [one for of in known if (one := of.only_value) is not None]
    if not known or len(values) < WHOLE_DAYS * len(known):
        return False
    return kind_of(known) is str or len(set(values)) <= MOST_VALUES


def _news(values: DayValues) -> dict[date, float]:
    """
    Return how far each day's value lies from the nearest of the days before it.

    What occurred on two earlier days, such as the first of a month, is no news: 0. It is if most
    days bring a new value; then the days before show that none of them is an alarm.
    """
    found: dict[date, float] = {}
    before: list[float | str] = []
    steps: list[float] = []
    for day, value in values.items():
        if value is None:
            continue
        step = _to_nearest(value, before)
        is_regular = len(steps) >= KNOWN_STEPS and 2 * len(steps) < len(found)
        is_known = is_regular and step <= sorted(steps)[-KNOWN_STEPS] * (1 + SAME)
        found[day] = 0.0 if is_known else step
        if step > 0:
            steps.append(step)
        if value not in before:
            before.append(value)
    return found


def _to_nearest(value: float | str, before: Sequence[float | str]) -> float:
    if not before:
        return float("nan")
    numbers = [one for one in before if not isinstance(one, str)]
    if isinstance(value, str) or not numbers:
        return 0.0 if value in before else MAX_JENSEN_SHANNON
    gap = min(abs(one - value) for one in numbers)
    return gap if gap > SAME * max(abs(value), *map(abs, numbers)) else 0.0


def _never_seen(values: Mapping[date, ColumnSummary]) -> dict[date, float]:
    """Return the share of each day's rows whose category occurred on no day before it."""
    found: dict[date, float] = {}
    before: set[str] = set()
    for day, of in values.items():
        if not of.is_whole:
            return {}
        if before and not of.is_empty:
            shares = dict(zip(of.texts, of.shares, strict=True))
            found[day] = sum(share for text, share in shares.items() if text not in before)
        before.update(of.texts)
    return found
