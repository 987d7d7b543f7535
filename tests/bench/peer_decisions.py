"""
Measure what peers of the drift monitor decide on the same days, beside Evergreen's own lines.

Each peer runs with its defaults in an environment of its own (``tests/bench/peers``). Its reference
is the 60 days before the day that is judged, so that no season counts as drift; of slow drift it is
the 60 days before the drift begins, so that the drift is never in the reference.
``make bench-decisions PARTS=peers``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pandas as pd
from tests.bench.drift_decisions import (
    FAULTY_DAYS,
    FAULTY_WORLD_DAYS,
    SLOW,
    START,
    WITHIN,
    WORLD_DAYS,
    frames,
    holidays,
    rate_of_delays,
)
from tests.bench.peers.environments import PeerMissingError, peers, run_peer, title
from tests.bench.rates import Rate
from tests.support.datasets import bike_rentals, flights_of_2013, police_stops
from tests.support.drift_worlds import (
    SUDDEN,
    Days,
    calendar_days,
    correlated_days,
    faultless_days,
    with_fault,
    with_sudden_faults,
)

from evergreen.monitoring.drift_columns import comparable

REFERENCE_DAYS = 60
#: Evidently's own default: the data set has drifted if so large a share of its columns has.
DRIFT_SHARE = 0.5
NO_REQUESTS = "it has no retrain requests"


@dataclass
class Plan:
    """What all peers judge: files of days, and the cases that refer to them."""

    folder: Path
    cases: list[dict] = field(default_factory=list)
    columns: dict[str, int] = field(default_factory=dict)

    def keep(self, name: str, days: Days) -> str:
        """Keep *days* as a file, in the form in which Evergreen compares them."""
        parts = [
            comparable(rows, start=datetime.combine(day, time(), UTC)).assign(day=str(day))
            for day, rows in days.items()
        ]
        pd.concat(parts, ignore_index=True).to_parquet(self.folder / name)
        return name

    def add(self, case: str, *, files: tuple[str, str], day: date, before: date) -> None:
        """Add *day* of the second of *files*, with the 60 days before *before* of the first."""
        self.cases.append(
            {
                "id": case,
                "reference": files[0],
                "current": files[1],
                "day": str(day),
                "from": str(before - timedelta(days=REFERENCE_DAYS)),
                "before": str(before),
            }
        )


def ordinary_cases(plan: Plan, *, most: int) -> dict[str, list[str]]:
    """Add up to *most* ordinary days of each data set; return the ids by its name."""
    worlds: list[tuple[str, Days, set[date]]] = [
        (data.name, frames(data), holidays(data.name))
        for data in (police_stops(), bike_rentals(), flights_of_2013())
    ]
    worlds.append(("correlated days 0", correlated_days(900, days=300, columns=10), set()))
    worlds.append(("calendar, 20 rows 0", calendar_days(0, days=400), set()))
    found: dict[str, list[str]] = {}
    for number, (name, days, odd) in enumerate(worlds):
        file = plan.keep(f"days_{number}.parquet", days)
        plan.columns[name] = len(next(iter(days.values())).columns)
        ordinary = [day for day in list(days)[REFERENCE_DAYS:] if day not in odd]
        step = max(-(-len(ordinary) // most), 1)
        for day in ordinary[::step]:
            case = f"{name} {day}"
            plan.add(case, files=(file, file), day=day, before=day)
            found.setdefault(name, []).append(case)
    return found


def sudden_cases(plan: Plan, *, worlds: int) -> list[str]:
    """Add the days of the sudden faults; return the ids."""
    found = []
    for seed in range(worlds):
        days = faultless_days(seed, days=FAULTY_WORLD_DAYS)
        judged = [list(days)[n] for n in FAULTY_DAYS]
        moved = {day: with_sudden_faults(days[day], seed) for day in judged}
        files = (
            plan.keep(f"before_{seed}.parquet", days),
            plan.keep(f"sudden_{seed}.parquet", moved),
        )
        for day in judged:
            case = f"sudden {seed} {day}"
            plan.add(case, files=files, day=day, before=day)
            found.append(case)
    return found


def slow_cases(plan: Plan, *, worlds: int) -> dict[int, list[str]]:
    """Add the days after the start of slow drift; return the ids, day by day, of each world."""
    found: dict[int, list[str]] = {}
    for seed in range(worlds):
        days = correlated_days(seed, days=WORLD_DAYS)
        together = {day: rows.drop(columns="x0") for day, rows in days.items()}
        for number, fault in enumerate(SLOW):
            moved = with_fault(days, fault, column="x0", start=START)
            for day, rows in moved.items():
                together[day] = together[day].assign(**{f"drift {number}": rows["x0"]})
        file = plan.keep(f"slow_{seed}.parquet", together)
        start = list(days)[START]
        for n in range(WITHIN + 1):
            day = start + timedelta(days=n)
            plan.add(f"slow {seed} {day}", files=(file, file), day=day, before=start)
            found.setdefault(seed, []).append(f"slow {seed} {day}")
    return found


@dataclass(frozen=True)
class Cases:
    """The ids of every case, by what is counted of them."""

    ordinary: Mapping[str, list[str]]
    sudden: list[str]
    slow: Mapping[int, list[str]]


def rows(*, worlds: int = 20, most: int = 30) -> Iterator[Rate]:
    """Yield the rates of every peer; *most* ordinary days of each data set."""
    with tempfile.TemporaryDirectory() as name:
        plan = Plan(Path(name))
        cases = Cases(
            ordinary=ordinary_cases(plan, most=most),
            sudden=sudden_cases(plan, worlds=max(worlds // 10, 1)),
            slow=slow_cases(plan, worlds=worlds),
        )
        (plan.folder / "plan.json").write_text(json.dumps(plan.cases))
        for peer in peers():
            try:
                verdicts = run_peer(peer, plan.folder)
            except PeerMissingError as error:
                yield Rate("every decision", "all", title(peer), 0, 0, 0.0, note=str(error))
                continue
            yield from _rates(peer, plan, cases, verdicts)


def _rates(peer: str, plan: Plan, cases: Cases, verdicts: dict) -> Iterator[Rate]:
    named = {case: set(columns) for case, columns in verdicts["named"].items()}
    each = verdicts["seconds"] / len(plan.cases)
    method = title(peer)
    for name, ids in cases.ordinary.items():
        spent = each * len(ids)
        alarms = sum(bool(named[one]) for one in ids)
        yield Rate("alarm on an ordinary day", name, method, len(ids), alarms, spent)
        if peer == "evidently":
            beyond = sum(len(named[one]) >= DRIFT_SHARE * plan.columns[name] for one in ids)
            what = "half of the columns drifted on an ordinary day"
            yield Rate(what, name, method, len(ids), beyond, 0.0)
    what = "retrain requested on an ordinary day"
    yield Rate(what, "all", method, 0, 0, 0.0, note=NO_REQUESTS)
    yield from _sudden(method, cases.sudden, named, each * len(cases.sudden))
    yield from _slow(method, cases.slow, named, each)


def _sudden(
    method: str, ids: Iterable[str], named: Mapping[str, set[str]], spent: float
) -> Iterator[Rate]:
    found = [named[one] for one in ids]
    for name, (column, _) in SUDDEN.items():
        events, what = sum(column in one for one in found), f"{name}: named that day"
        yield Rate(what, "columns of every kind", method, len(found), events, spent / len(SUDDEN))


def _slow(
    method: str, worlds: Mapping[int, list[str]], named: Mapping[str, set[str]], each: float
) -> Iterator[Rate]:
    """Yield how soon each slow drift is named; one that is not within 21 days has no delay."""
    spent = each * statistics.fmean(map(len, worlds.values())) * len(worlds) / len(SLOW)
    for number, fault in enumerate(SLOW):
        delays = [
            next((n for n, one in enumerate(ids) if f"drift {number}" in named[one]), None)
            for ids in worlds.values()
        ]
        yield rate_of_delays(fault, method, delays, spent)
