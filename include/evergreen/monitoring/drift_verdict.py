"""Conclude from the judgements of the last days: a colour, the reasons in words, and a request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from evergreen.monitoring.drift_judgement import Judgement
from evergreen.monitoring.drift_thresholds import MIN_THRESHOLD_DAYS
from evergreen.monitoring.verdict import Verdict
from evergreen.receipts.monitoring import Colour, DayAlarm, SlowFinding
from evergreen.spec.monitoring import Drift

BLIND = (
    "drift: no column can alarm, their limits lie beyond every value seen: the days before differ "
    "too much from each other, or have too few rows"
)


def verdict_of(
    judgements: Sequence[Judgement],
    drift: Drift,
    *,
    new_columns: Sequence[str],
    learnt_until: date,
) -> Verdict:
    """
    Conclude from the last of *judgements*, and from how many of them were alarms.

    Sudden drift on N of the last M days requests a retrain. Slow drift requests one when it is
    found, and while the cool-down of an earlier request may hold that up, unless the champion has
    learnt from days after it was found.

    :param new_columns: Changes of the raw columns, in words.
    :param learnt_until: The day up to which the champion knows the data.
    """
    today, (needed, seen) = judgements[-1], drift.persistence
    alarm = today.alarm
    count = sum(bool(one.alarm.findings) for one in judgements)
    is_persistent = count >= needed
    is_blind = bool(today.columns) and not any(found.can_alarm for found in today.columns)
    slow = [one for one in today.slow or () if one.since and one.since >= learnt_until]
    colour: Colour = "amber" if alarm.is_alarm or new_columns or slow else "green"
    if not alarm.is_known or (is_blind and colour == "green"):
        colour = "unknown"
    if is_persistent:
        colour = "red"
    return Verdict(
        colour=colour,
        reasons=(
            # First, for a request is cut after 500 characters.
            *([f"drift on {count} of the last {seen} days"] if is_persistent else []),
            *_explain(alarm),
            *(_explain_slow(one) for one in slow or alarm.slow),
            *new_columns,
            *([BLIND] if is_blind else []),
            *([] if alarm.is_known else [_too_short(today.history_days)]),
        ),
        requests_retrain=is_persistent or any(_is_recent(one, alarm.day, drift) for one in slow),
    )


def _is_recent(one: SlowFinding, day: date, drift: Drift) -> bool:
    """Return whether a request may still be made: once per drift, later only if one was held."""
    return one.since is not None and day - one.since < timedelta(days=max(drift.cool_down_days, 1))


def _explain(alarm: DayAlarm) -> list[str]:
    return [
        f"drift: {found.name} lies {found.distance:.4g} from its reference, usual are "
        f"{found.usual:.4g}, an alarm is beyond {found.limit:.4g}"
        for found in alarm.findings
    ]


def _explain_slow(one: SlowFinding) -> str:
    return (
        f"slow drift: {one.name} was {one.baseline:.3g} in the seven weeks before and is "
        f"{one.recent:.3g} in the last three ({one.meaning}), found on {one.since}; compare the "
        "weeks on the report, and retrain if the change is here to stay"
    )


def _too_short(days: int) -> str:
    return (
        f"drift cannot be judged yet: {days} days have a reference to lie at a distance from, "
        f"{MIN_THRESHOLD_DAYS} are needed"
    )
