"""The days a run trains on, tests on and scores. Pure: an instant and a spec in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from evergreen.errors import AsOfError
from evergreen.spec.data import WindowSpec

SEGMENTS = ("fit", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class DayRange:
    """A half-open range of UTC days, ``first`` included and ``end`` not."""

    first: date
    end: date

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.end - self.first).days

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day < self.end

    def __str__(self) -> str:
        return f"{self.first} .. {self.end - timedelta(days=1)} ({len(self)} days)"


@dataclass(frozen=True, kw_only=True)
class TrainingWindow:
    """
    The days of one run, oldest first: ``fit``, gap, ``validation``, gap, ``test``.

    Candidates are fitted on ``fit`` and ranked on ``validation``; the winner is fitted again on
    ``train``, which spans both, and evaluated once on ``test``.
    """

    as_of: datetime
    fit: DayRange
    validation: DayRange
    test: DayRange

    @property
    def train(self) -> DayRange:
        """Everything before the gap that guards the test days."""
        return DayRange(first=self.fit.first, end=self.validation.end)

    @property
    def days(self) -> DayRange:
        """From the first day to learn from to the last day to test on, gaps included."""
        return DayRange(first=self.fit.first, end=self.test.end)


def whole_days_end(as_of: datetime) -> date:
    """
    Return the end of the last UTC day that is over at *as_of*.

    :raises AsOfError: If *as_of* carries no time zone.
    """
    if as_of.tzinfo is None:
        raise AsOfError(f"as_of {as_of.isoformat()} has no time zone. Write it in UTC, with Z.")
    return as_of.astimezone(UTC).date()


def training_window(as_of: datetime, spec: WindowSpec) -> TrainingWindow:
    """
    Return the days a retrain at *as_of* uses.

    No day is partly in the future: the newest test day ends at or before ``as_of`` less the
    label delay. The label delay is part of the gap as well, so that the model is measured as long
    after its newest label as it will serve after it.
    """
    test_end = whole_days_end(as_of) - timedelta(days=spec.label_delay_days)
    gap = timedelta(days=spec.days_between)
    test = DayRange(first=test_end - timedelta(days=spec.test_days), end=test_end)
    train_end = test.first - gap
    validation = DayRange(first=train_end - timedelta(days=spec.validation_days), end=train_end)
    fit = DayRange(first=train_end - timedelta(days=spec.train_days), end=validation.first - gap)
    return TrainingWindow(as_of=as_of, fit=fit, validation=validation, test=test)


def scoring_day(as_of: datetime) -> date:
    """Return the newest whole day at *as_of*: the partition a score run answers for."""
    return whole_days_end(as_of) - timedelta(days=1)


def start_of(day: date) -> datetime:
    """Return the first instant of *day*, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
