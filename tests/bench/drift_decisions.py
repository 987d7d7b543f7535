"""
Measure how the drift monitor decides: alarms on ordinary days, retrain requests, delays.

On police stops, bike rentals, the flights, and three simulators. Every rate has its number of tries
and its Wilson 95 % interval. ``make bench-decisions PARTS=drift``.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar
from tests.bench.rates import Rate
from tests.support.datasets import Dataset, bike_rentals, flights_of_2013, police_stops
from tests.support.drift_worlds import (
    SUDDEN,
    Days,
    SlowFault,
    calendar_days,
    correlated_days,
    faultless_days,
    with_fault,
    with_sudden_faults,
)

from evergreen.monitoring.drift_distances import column_of
from evergreen.monitoring.drift_judgement import Judge, Judgement, MeasuredDay
from evergreen.monitoring.drift_replay import measure_frames
from evergreen.spec.monitoring import Drift

DRIFT = Drift()
#: Clocks change in the night of these days; flights in UTC follow the clock.
CLOCKS = ("2013-03-10", "2013-11-03")


def rate(data: str, decision: str, events: int, n: int, seconds: float) -> Rate:
    """Return the rate of *events* in *n* tries of the drift monitor."""
    return Rate(decision, data, "Evergreen", n, events, seconds)


def holidays(data: str) -> set[date]:
    """Return the days that are not ordinary: around federal holidays, and after clock changes."""
    found = USFederalHolidayCalendar().holidays("2010-12-01", "2018-02-01")
    near = {day.date() + timedelta(days=n) for day in found for n in (-1, 0, 1)}
    if data == "flights":
        near |= {date.fromisoformat(day) + timedelta(days=n) for day in CLOCKS for n in range(9)}
    return near


def frames(data: Dataset) -> dict[date, pd.DataFrame]:
    """Return the features of each day."""
    return {day.date(): rows for day, rows in data.by_day().items()}


def requested(judged: Mapping[date, Judgement]) -> list[date]:
    """Return the days that request a retrain, with the cool-down and without a champion."""
    needed, seen = DRIFT.persistence
    days, found = list(judged), list[date]()
    for n, day in enumerate(days):
        alarms = sum(bool(judged[d].alarm.findings) for d in days[max(n - seen + 1, 0) : n + 1])
        is_cool = not found or (day - found[-1]).days >= DRIFT.cool_down_days
        if is_cool and (alarms >= needed or judged[day].alarm.slow):
            found.append(day)
    return found


def ordinary_days(name: str, days: Days, odd: set[date]) -> list[Rate]:
    """Return the rates of alarms and of requests on days after 60 days of history."""
    started = time.process_time()
    measured = measure_frames(days, DRIFT)
    judge, compared = Judge(measured, DRIFT, {}), [d for d in measured if measured[d].distances]
    judged = {day: judge.judge(day) for day in compared[DRIFT.history_days :]}
    spent = time.process_time() - started
    alarms = {day for day, found in judged.items() if found.alarm.is_alarm}
    slow = {day for day in judged if any(one.since for one in judged[day].slow or ())}
    ordinary = set(judged) - odd
    for day in sorted(alarms & ordinary):
        print(f"{name}, {day}: {', '.join(sorted(named(judged[day])))}", flush=True)
    rows = [
        rate(name, "alarm on an ordinary day", len(alarms & ordinary), len(ordinary), spent),
        rate(name, "slow drift goes on, ordinary day", len(slow & ordinary), len(ordinary), 0),
        rate(
            name,
            "retrain requested on an ordinary day",
            len(ordinary.intersection(requested(judged))),
            len(ordinary),
            0,
        ),
    ]
    if others := set(judged) - ordinary:
        rows.append(rate(name, "alarm on a holiday", len(alarms & others), len(others), 0))
    return rows


#: The first day of slow drift in :func:`correlated_days`, and how many of them a world has.
START, WORLD_DAYS = 95, 155
SLOW = (SlowFault(0, 1), SlowFault(1, 1), SlowFault(0.5, 30), SlowFault(1, 30), SlowFault(2, 90))
WITHIN = 21


def named(judged: Judgement) -> set[str]:
    """Return the columns that an alarm of that day names."""
    found = (*judged.alarm.findings, *judged.alarm.slow)
    return {column_of(one.name.partition(" = ")[0]) for one in found}


def delay(
    measured: Mapping[date, MeasuredDay], *, column: str, start: int, until: int
) -> int | None:
    """Return after how many days an alarm names *column*; None if none does."""
    judge = Judge(measured, DRIFT, {})
    for n, day in enumerate(measured):
        if start <= n < start + until and column in named(judge.judge(day)):
            return n - start
    return None


def with_column(
    others: Mapping[date, MeasuredDay], days: Days, column: str
) -> dict[date, MeasuredDay]:
    """Return what is measured of days, with *column* of *days* beside the columns of *others*."""
    own = measure_frames({day: rows[[column]] for day, rows in days.items()}, DRIFT)
    return {day: MeasuredDay.together([of, own[day]], of.rows) for day, of in others.items()}


def described(fault: SlowFault) -> str:
    """Return what is counted of *fault*; one of size 0 is none."""
    if not fault.size:
        return f"a column without drift is named within {WITHIN} days"
    over = "a day" if fault.days == 1 else f"{fault.days} days"
    return f"{fault.size:+g} sd in {over}: found within {WITHIN} days"


def rate_of_delays(fault: SlowFault, method: str, found: list[int | None], spent: float) -> Rate:
    """Return how often *fault* was found in time, and the median delay, of worlds each."""
    within = sum(one is not None and one <= WITHIN for one in found)
    median = float(np.median([np.inf if one is None else one for one in found]))
    return Rate(
        described(fault),
        "correlated days",
        method,
        len(found),
        within,
        spent,
        delay=median if fault.size else None,
    )


def slow_drifts(*, worlds: int, faults: Sequence[SlowFault] = SLOW) -> Iterator[Rate]:
    """Yield how often each slow drift is named within 60 days, and a column without drift in 21."""
    spent, found = Counter[SlowFault](), defaultdict[SlowFault, list[int | None]](list)
    for seed in range(worlds):
        days = correlated_days(seed, days=WORLD_DAYS)
        others = measure_frames({d: rows.drop(columns="x0") for d, rows in days.items()}, DRIFT)
        for fault in faults:
            started, until = time.process_time(), 60 if fault.size else WITHIN + 1
            moved = with_fault(days, fault, column="x0", start=START)
            measured = with_column(others, moved, "x0")
            found[fault].append(delay(measured, column="x0", start=START, until=until))
            spent[fault] += time.process_time() - started
    for fault in faults:
        yield rate_of_delays(fault, "Evergreen", found[fault], spent[fault])


#: What a fault does to the rows of a day, and the column it must name.
FAULTS: dict[str, tuple[str, str, Callable[[pd.DataFrame], pd.Series]]] = {
    "latitude in radians": ("police stops", "lat", lambda rows: np.radians(rows["lat"])),
    "a category renamed": ("police stops", "MDC", lambda rows: rows["MDC"].replace("MDC", "mdc")),
    "race lost": ("police stops", "race", lambda rows: rows["race"].mask(rows["race"].notna())),
    "temperature in Kelvin": ("bike rentals", "temp", lambda rows: rows["temp"] + 273.15),
    "humidity as a fraction": ("bike rentals", "hum", lambda rows: rows["hum"] / 100),
    "half of the hours lost": (
        "bike rentals",
        "hr",
        lambda rows: rows["hr"].where(rows["hr"] > 12),
    ),
    "distance in kilometres": ("flights", "distance", lambda rows: rows["distance"] * 1.609),
    "a carrier renamed": ("flights", "carrier", lambda rows: rows["carrier"].replace("UA", "U1")),
}


def named_that_day(
    days: Days, measured: Mapping[date, MeasuredDay], day: date, rows: pd.DataFrame
) -> set[str]:
    """Return the columns that are named if *day* has *rows*, after days that have no fault."""
    back = range(0, 7 * DRIFT.reference_weeks + 1, 7)
    near = [d for n in back if (d := day - timedelta(days=n)) in days]
    faulty = measure_frames({d: days[d] for d in near} | {day: rows}, DRIFT)[day]
    return named(Judge({**measured, day: faulty}, DRIFT, {}).judge(day))


def same_day(data: Dataset, *, every: int = 24) -> Iterator[Rate]:
    """Yield how often each sudden fault of real columns is named on its day."""
    days = frames(data)
    measured = measure_frames(days, DRIFT)
    for name, (of, column, change) in FAULTS.items():
        if of != data.name:
            continue
        started = time.process_time()
        found = [
            column in named_that_day(days, measured, day, days[day].assign(**{column: change}))
            for day in list(days)[100::every]
        ]
        spent = time.process_time() - started
        yield rate(data.name, f"{name}: named that day", sum(found), len(found), spent)


#: The days on which the faults of :data:`SUDDEN` occur, each alone, after days without any.
FAULTY_DAYS, FAULTY_WORLD_DAYS = range(95, 115), 115


def sudden_faults(*, worlds: int, every: int = 1) -> Iterator[Rate]:
    """Yield how often each of :data:`SUDDEN` is named on its day, on 20 days of each world."""
    started, found = time.process_time(), list[set[str]]()
    for seed in range(worlds):
        days = faultless_days(seed, days=FAULTY_WORLD_DAYS)
        measured = measure_frames(days, DRIFT)
        for day in [list(days)[n] for n in FAULTY_DAYS[::every]]:
            rows = with_sudden_faults(days[day], seed)
            found.append(named_that_day(days, measured, day, rows))
    spent = (time.process_time() - started) / len(SUDDEN)
    for name, (column, _) in SUDDEN.items():
        events = sum(column in one for one in found)
        yield rate("columns of every kind", f"{name}: named that day", events, len(found), spent)


def on_real_and_simulated_days(*, worlds: int) -> Iterator[Rate]:
    """Yield the rates on days without simulated drift, and of faults of real columns."""
    for load in (police_stops, bike_rentals, flights_of_2013):
        data = load()
        yield from ordinary_days(data.name, frames(data), holidays(data.name))
        yield from same_day(data)
    for seed in range(worlds):
        days = correlated_days(900 + seed, days=300, columns=10)
        yield from ordinary_days(f"correlated days {seed}", days, set())
        yield from ordinary_days(f"calendar, 20 rows {seed}", calendar_days(seed, days=400), set())
