"""Simulated days for the drift monitor and for what is measured beside it, and their faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

Days = Mapping[date, pd.DataFrame]


@dataclass(frozen=True)
class SlowFault:
    """A shift of one column by *size* standard deviations of its rows, over *days*."""

    size: float
    days: int


def correlated_days(
    seed: int, *, days: int, rows: int = 300, columns: int = 4
) -> dict[date, pd.DataFrame]:
    """Return days whose level differs: sd 0.2 of a row's, correlation 0.5."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 0.2, columns)
    found = {}
    for n in range(days):
        values = rng.normal(size=(rows, columns)) + level
        found[date(2024, 1, 1) + timedelta(days=n)] = pd.DataFrame(
            values, columns=[f"x{c}" for c in range(columns)]
        )
        level = 0.5 * level + rng.normal(0, 0.2 * np.sqrt(0.75), columns)
    return found


def calendar_days(seed: int, *, days: int, rows: int = 20) -> dict[date, pd.DataFrame]:
    """Return small days with a season, holidays, flags, each hour once, weather and a campaign."""
    rng = np.random.default_rng(seed)
    weather, found = 0.0, {}
    for n in range(days):
        day = date(2023, 1, 1) + timedelta(days=n)
        weather = 0.6 * weather + rng.normal(0, 3)
        season = 10 * np.sin(2 * np.pi * n / 365.25)
        found[day] = pd.DataFrame(
            {
                "hour": np.arange(rows) % 24,
                "season": ["winter", "spring", "summer", "autumn"][day.month % 12 // 3],
                "month": day.month,
                "working": int(day.weekday() < 5),
                "holiday": int(rng.random() < 0.03),
                "campaign": int(rng.random() < 0.1),
                "flag": (rng.random(rows) < 0.05).astype(int),
                "temperature": 15 + season + weather + rng.normal(0, 3, rows),
                "shop": rng.choice(list("abcd"), size=rows, p=[0.5, 0.3, 0.15, 0.05]),
                "customer": rng.integers(0, 10**9, rows).astype(str),
            }
        )
    return found


def with_fault(
    days: Days, fault: SlowFault, *, column: str, start: int
) -> dict[date, pd.DataFrame]:
    """Return *days* with *fault* in *column* from day number *start* on."""
    scale = float(np.mean([rows[column].std() for rows in days.values()]))
    moved = {}
    for n, (day, rows) in enumerate(days.items()):
        share = min(max((n - start + 1) / fault.days, 0), 1)
        moved[day] = rows.assign(**{column: rows[column] + share * fault.size * scale})
    return moved


def faultless_days(seed: int, *, days: int, rows: int = 300) -> dict[date, pd.DataFrame]:
    """Return days with one column for each of :data:`SUDDEN`, and two more; levels as above."""
    rng = np.random.default_rng(seed)
    found = {}
    for n, level in enumerate(_levels(rng, days=days, columns=5)):
        season = 15 * np.sin(2 * np.pi * n / 365.25)
        found[date(2024, 1, 1) + timedelta(days=n)] = pd.DataFrame(
            {
                "constant": 5.0,
                "never_known": np.full(rows, np.nan),
                "always_known": rng.normal(size=rows) + level[0],
                "flag": (rng.random(rows) < 0.1).astype(int),
                "kind": rng.choice(list("abc"), size=rows, p=[0.7, 0.2, 0.1]),
                "amount": np.exp(0.5 * (rng.normal(size=rows) + level[1])),
                "temperature": 60 + season + 25 * level[2] + rng.normal(0, 8, rows),
                "x0": rng.normal(size=rows) + level[3],
                "x1": rng.normal(size=rows) + level[4],
            }
        )
    return found


def _levels(rng: np.random.Generator, *, days: int, columns: int) -> np.ndarray:
    """Return effects of days of standard deviation 0.2 and correlation 0.5."""
    found = [rng.normal(0, 0.2, columns)]
    for _ in range(days - 1):
        found.append(0.5 * found[-1] + rng.normal(0, 0.2 * np.sqrt(0.75), columns))
    return np.array(found)


Change = Callable[[pd.Series, np.random.Generator], object]


def _shares(rows: pd.Series, rng: np.random.Generator) -> object:
    return rng.choice(list("abc"), size=len(rows), p=[0.5, 0.3, 0.2])


#: Sudden faults: the column of :func:`faultless_days`, and what becomes of its values.
SUDDEN: dict[str, tuple[str, Change]] = {
    "a constant that becomes another": ("constant", lambda rows, rng: rows + 1),
    "null that gets values": ("never_known", lambda rows, rng: rng.normal(size=len(rows))),
    "values that become null": ("always_known", lambda rows, rng: np.full(len(rows), np.nan)),
    "a flag 0.1 to 0.3": ("flag", lambda rows, rng: (rng.random(len(rows)) < 0.3).astype(int)),
    "shares 70/20/10 to 50/30/20": ("kind", _shares),
    "x 1.8": ("amount", lambda rows, rng: rows * 1.8),
    "Celsius for Fahrenheit": ("temperature", lambda rows, rng: (rows - 32) / 1.8),
}


def with_sudden_faults(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows of a day with every fault of :data:`SUDDEN`, each in its own column."""
    rng = np.random.default_rng(seed)
    changed = {column: change(rows[column], rng) for column, change in SUDDEN.values()}
    return rows.assign(**changed)
