"""A tier that takes too long is named, and fails the run where that is asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.budgets import BUDGETS_S, TOLERANCE, WALL_MIN, Report
from tests.support.tiers import TIERS


@pytest.fixture
def report() -> Report:
    return Report(SimpleNamespace(getoption=lambda name: True))


def ran(report: Report, tier: str, seconds: float) -> None:
    found = SimpleNamespace(keywords={tier: 1}, duration=seconds, when="call")
    report.pytest_runtest_logreport(found)


def session_after(report: Report) -> SimpleNamespace:
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    report.pytest_sessionfinish(session)
    return session


def test_every_tier_has_a_budget():
    assert set(BUDGETS_S) == set(TIERS)


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_may_be_a_third_over_its_budget_and_no_more(report, tier):
    ran(report, tier, BUDGETS_S[tier] * TOLERANCE)
    assert report.over() == []
    assert session_after(report).exitstatus == pytest.ExitCode.OK

    ran(report, tier, 1)

    (message,) = report.over()
    assert message.startswith(f"{tier} took ")
    assert session_after(report).exitstatus == pytest.ExitCode.TESTS_FAILED


def test_without_the_option_it_is_shown_and_fails_nothing():
    report = Report(SimpleNamespace(getoption=lambda name: False))
    ran(report, "unit", 10 * BUDGETS_S["unit"])

    assert len(report.over()) == 1
    assert session_after(report).exitstatus == pytest.ExitCode.OK


def test_the_whole_has_a_budget_too(report):
    report.began -= 60 * WALL_MIN * TOLERANCE + 1

    (message,) = report.over()

    assert message.startswith("all took ")
