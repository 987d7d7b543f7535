"""
Judge one day from what was measured of it and of the days before it.

Two detectors: distances from a reference that moves with the day find what is sudden, the moving
average of signed shifts finds what is slow. Pure: whatever is not among the arguments has no
influence, so a day that is judged again next year comes out the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd

from evergreen.monitoring.drift_alarms import SLOW_SHARE, alarm_of, findings_of, limits_of
from evergreen.monitoring.drift_distances import UNMEASURABLE, column_of
from evergreen.monitoring.drift_past_values import calendar_columns, compare_past_values
from evergreen.monitoring.drift_slow import (
    BASELINE_DAYS,
    RECENT_DAYS,
    REST_DAYS,
    Shift,
    slow_shifts,
)
from evergreen.monitoring.drift_summaries import ColumnSummary, Summaries
from evergreen.monitoring.drift_thresholds import Threshold
from evergreen.receipts.monitoring import DayAlarm, Finding, SlowFinding
from evergreen.spec.monitoring import Drift


@dataclass(frozen=True, kw_only=True)
class MeasuredDay:
    """What is measured of one day; without ``distances`` if it has no reference."""

    rows: int
    columns: Summaries
    distances: Mapping[str, float] | None = None
    possible: Mapping[str, float] = field(default_factory=dict)
    by_chance: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def together(cls, parts: Sequence[MeasuredDay], rows: int) -> MeasuredDay:
        """Return *parts* of one day, each about other columns, as one."""
        columns: dict[str, ColumnSummary] = {}
        distances: dict[str, float] = {}
        possible: dict[str, float] = {}
        by_chance: dict[str, float] = {}
        for part in parts:
            columns |= part.columns
            distances |= part.distances or {}
            possible |= part.possible
            by_chance |= part.by_chance
        has_reference = any(part.distances is not None for part in parts)
        return cls(
            rows=rows,
            columns=columns,
            distances=distances if has_reference else None,
            possible=possible,
            by_chance=by_chance,
        )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """
    One day beside its limits.

    ``columns``: every distance that has a limit. ``slow``: the shift of every score, None while
    there are too few days. ``history_days``: days before it that have a reference.
    """

    alarm: DayAlarm
    columns: tuple[Finding, ...]
    limits: Mapping[str, Threshold]
    slow: tuple[SlowFinding, ...] | None
    history_days: int


class Judge:
    """Judges days of one series; what several days need is computed once."""

    def __init__(
        self, days: Mapping[date, MeasuredDay], drift: Drift, weights: Mapping[str, float]
    ) -> None:
        self.days, self.drift, self.weights = days, drift, weights
        self._shifts: dict[date, list[Shift] | None] = {}

    def judge(self, day: date) -> Judgement:
        """
        Return the judgement of *day*.

        :raises KeyError: If the day is not there, or has no reference.
        """
        before = history_of(day, self.drift)
        days = {d: self.days[d] for d in (*before, day) if d in self.days}
        columns = {d: of.columns for d, of in days.items()}
        table = compare_past_values(_table(days), columns)
        limits = self._limits(table.loc[table.index < day], days)
        today = table.loc[day]
        slow = self._slow(day)
        return Judgement(
            alarm=alarm_of(day, today, limits, new=[one for one in slow or () if one.since == day]),
            columns=tuple(findings_of(today, limits)),
            limits=limits,
            slow=slow,
            history_days=min(len(table) - 1, self.drift.history_days),
        )

    def _limits(
        self, history: pd.DataFrame, days: Mapping[date, MeasuredDay]
    ) -> dict[str, Threshold]:
        possible: dict[str, float] = {}
        newest = days[max(days)]
        for of in (*(days[d] for d in history.index[-self.drift.history_days :]), newest):
            for name, most in of.possible.items():
                possible[name] = max(most, possible.get(name, most))
        return limits_of(
            history,
            self.drift,
            self.weights,
            rows=newest.rows,
            possible=possible,
            by_chance=newest.by_chance,
        )

    def _slow(self, day: date) -> tuple[SlowFinding, ...] | None:
        """Return every shift of *day*; one beyond its limit with the day it was found on."""
        shifts = self._shifts_of(day)
        if shifts is None:
            return None
        found_on: dict[str, date] = {}
        for n in range(REST_DAYS, -1, -1):
            earlier = day - timedelta(days=n)
            for one in self._shifts_of(earlier) or ():
                if one.is_beyond:
                    found_on.setdefault(column_of(one.name.partition(" = ")[0]), earlier)
        return tuple(
            SlowFinding(
                name=one.name,
                baseline=one.baseline,
                recent=one.recent,
                by_chance=one.limit * one.error,
                share=one.size,
                since=found_on[column_of(one.name.partition(" = ")[0])] if one.is_beyond else None,
            )
            for one in shifts
        )

    def _shifts_of(self, day: date) -> list[Shift] | None:
        if day not in self._shifts:
            back = range(RECENT_DAYS + BASELINE_DAYS - 1, -1, -1)
            window = [day - timedelta(days=n) for n in back]
            columns = {d: self.days[d].columns for d in window if d in self.days}
            rate = SLOW_SHARE * self.drift.false_alarm_rate
            self._shifts[day] = slow_shifts(
                columns, day, skip=calendar_columns(columns), false_alarm_rate=rate
            )
        return self._shifts[day]


def history_of(day: date, drift: Drift) -> list[date]:
    """Return the days before *day* that its limits are computed from, oldest first."""
    back = drift.history_days + 7 * drift.reference_weeks
    return [day - timedelta(days=n) for n in range(back, 0, -1)]


def reach_of(day: date, drift: Drift) -> list[date]:
    """Return the days up to *day* that it and the last days are judged from, oldest first."""
    _, seen = drift.persistence
    return [*history_of(day - timedelta(days=seen - 1), drift), *_last(day, seen)]


def compared_days(day: date, drift: Drift) -> set[date]:
    """Return the days within reach of *day* whose distances are looked at."""
    return set(_last(day, drift.history_days + drift.persistence[1]))


def last_days(day: date, drift: Drift) -> list[date]:
    """Return the days up to *day* that are judged together, oldest first."""
    return _last(day, drift.persistence[1])


def _last(day: date, count: int) -> list[date]:
    return [day - timedelta(days=n) for n in range(count - 1, -1, -1)]


def _table(days: Mapping[date, MeasuredDay]) -> pd.DataFrame:
    """Return the distances of all days that have a reference, shape ``(days, distances)``."""
    rows = {day: dict(of.distances) for day, of in days.items() if of.distances is not None}
    table = pd.DataFrame.from_dict(rows, orient="index")
    lost = [name for name in table.columns if name.endswith(UNMEASURABLE)]
    return table.fillna(dict.fromkeys(lost, 0.0))
