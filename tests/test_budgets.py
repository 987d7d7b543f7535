"""A tier that takes too long is named, and fails the run where that is asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.budgets import BUDGETS_S, REFERENCE_S, TOLERANCE, WALL_MIN, Report
from tests.support.tiers import TIERS


@pytest.fixture
def report() -> Report:
    return on_a_machine(1)


def on_a_machine(slowness: float, *, enforced: bool = True) -> Report:
    """Return a report of a run where the processor takes *slowness* times as long."""
    report = Report(SimpleNamespace(getoption=lambda name: enforced))
    report.work = [REFERENCE_S * slowness]
    return report


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


@pytest.mark.parametrize(("slowness", "allowed"), [(0.5, 1), (1, 1), (1.5, 1.5), (3, 3)])
def test_a_slower_machine_has_a_larger_budget_and_a_faster_one_none_smaller(slowness, allowed):
    report = on_a_machine(slowness)
    ran(report, "unit", BUDGETS_S["unit"] * TOLERANCE * allowed)
    assert report.over() == []

    ran(report, "unit", 1)

    assert len(report.over()) == 1


def test_the_processor_is_measured_during_the_run(report):
    report.measured -= 60
    ran(report, "unit", 0)
    ran(report, "unit", 0)

    assert len(report.work) == 2
    assert report.work[-1] > 0


def test_without_the_option_it_is_shown_and_fails_nothing():
    report = on_a_machine(1, enforced=False)
    ran(report, "unit", 10 * BUDGETS_S["unit"])

    assert len(report.over()) == 1
    assert session_after(report).exitstatus == pytest.ExitCode.OK


def test_the_whole_has_a_budget_too(report):
    report.began -= 60 * WALL_MIN * TOLERANCE + 1

    (message,) = report.over()

    assert message.startswith("all took ")
