"""What the judgements of the last days come to: colour, reasons, and one request per drift."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from evergreen.monitoring.drift_judgement import Judgement
from evergreen.monitoring.drift_verdict import verdict_of
from evergreen.receipts.monitoring import DayAlarm, Finding, SlowFinding
from evergreen.spec.monitoring import Drift

DAY = date(2024, 6, 10)
QUIET = Finding(name="a", distance=1, usual=1, limit=2)
BLIND = QUIET.model_copy(update={"can_alarm": False})


def shift(since: date | None) -> SlowFinding:
    return SlowFinding(name="a", baseline=0.5, recent=0.61, by_chance=0.08, share=1.4, since=since)


def judged(*, slow=(), columns=(QUIET,), is_known=True, findings=()) -> Judgement:
    new = tuple(one for one in slow or () if one.since == DAY)
    return Judgement(
        alarm=DayAlarm(day=DAY, is_known=is_known, findings=findings, slow=new),
        columns=columns,
        limits={},
        slow=slow,
        history_days=60,
    )


def verdict(*days: Judgement, learnt_until: date = date(2024, 1, 1), **drift):
    return verdict_of(days, Drift(**drift), new_columns=(), learnt_until=learnt_until)


def test_slow_drift_is_amber_named_in_words_and_requests_a_retrain():
    found = verdict(judged(slow=(shift(DAY),)))

    assert (found.colour, found.requests_retrain) == ("amber", True)
    (reason,) = found.reasons
    assert reason.startswith("slow drift: a was 0.5 in the seven weeks before and is 0.61")
    assert f"found on {DAY}" in reason


@pytest.mark.parametrize(("days_ago", "asks"), [(0, True), (6, True), (7, False), (13, False)])
def test_it_requests_only_while_an_earlier_request_may_hold_it_up(days_ago, asks):
    found = verdict(judged(slow=(shift(DAY - timedelta(days=days_ago)),)), cool_down_days=7)

    assert (found.colour, found.requests_retrain) == ("amber", asks)


def test_a_champion_that_learnt_from_later_days_is_not_retrained_for_it():
    slow = (shift(DAY - timedelta(days=3)),)

    assert verdict(judged(slow=slow), learnt_until=DAY - timedelta(days=2)).colour == "green"
    assert not verdict(judged(slow=slow), learnt_until=DAY).requests_retrain


def test_slow_drift_does_not_count_as_one_of_the_sudden_days():
    found = verdict(*[judged(slow=(shift(DAY),))] * 5, cool_down_days=0)

    assert found.colour == "amber"


@pytest.mark.parametrize("slow", [None, (), (shift(None),)])
def test_without_slow_drift_a_quiet_day_is_green(slow):
    found = verdict(judged(slow=slow))

    assert (found.colour, found.reasons, found.requests_retrain) == ("green", (), False)


def test_where_no_column_can_alarm_a_quiet_day_is_unknown():
    found = verdict(judged(columns=(BLIND, BLIND)))

    assert found.colour == "unknown"
    assert "no column can alarm" in found.reasons[0]
