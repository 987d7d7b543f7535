"""
How long each tier took, and how long it may take on a machine of the speed they were set on.

Machines differ by more than a tier should: the unit tests, of which few were new, took 600 s on one
and 1,058 s on another. So the processor is measured during the run, and a slower one gets a larger
budget.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter

import pytest

from tests.support.tiers import TIERS

#: Seconds of all tests of a tier together, setup and teardown included; two processors, three
#: processes. A test that waits for another process counts as well. A run with other work beside it,
#: at 22.1 ms of :func:`reference_work`, took 977, 3180 and 1015 s, and 29.7 minutes as a whole.
BUDGETS_S = {"unit": 650, "integration": 1600, "e2e": 1000}
#: Minutes of a whole ``make test`` after its checks. The aim is 12.
WALL_MIN = 15
#: A tier that is this much over its budget fails: a slower machine does not, a slower tier does.
TOLERANCE = 4 / 3
#: Processor seconds of :func:`reference_work` that the budgets belong to. It is derived and not
#: measured: a machine of 22.1 ms took 1.78 times as long for the unit tests as the one of the first
#: budgets, and 22.1 ms / 1.78 are 12.4.
REFERENCE_S = 0.0125
#: Seconds between two measurements of the processor.
MEASURE_EVERY_S = 15


def reference_work() -> float:
    """Return the processor seconds of a fixed piece of work; waiting for a processor is none."""
    began = time.thread_time()
    total = 0
    for number in range(300_000):
        total += number * number
    return time.thread_time() - began


class Report:
    """Sums up durations in the first process of a run, and prints them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self.is_enforced = config.getoption("--enforce-budgets")
        self.began = time.monotonic()
        self.seconds: Counter[str] = Counter()
        self.cases: Counter[str] = Counter()
        self.work = [reference_work()]
        self.measured = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tier = next((tier for tier in TIERS if tier in report.keywords), "unknown")
        self.seconds[tier] += report.duration
        self.cases[tier] += report.when == "call"
        if time.monotonic() - self.measured > MEASURE_EVERY_S:
            self.work.append(reference_work())
            self.measured = time.monotonic()

    def processor_s(self) -> float:
        """Return the median of what :func:`reference_work` took during the run."""
        return statistics.median(self.work)

    def slowness(self) -> float:
        """Return how many times as long this machine needs; 1 if it is not slower."""
        return max(1.0, self.processor_s() / REFERENCE_S)

    def over(self) -> list[str]:
        """Return a message for each tier that is over its budget, and one for the whole."""
        allowed = TOLERANCE * self.slowness()
        found = [
            f"{tier} took {self.seconds[tier]:.0f} s, its budget is {budget} s"
            for tier, budget in BUDGETS_S.items()
            if self.seconds[tier] > budget * allowed
        ]
        if self.minutes() > WALL_MIN * allowed:
            found.append(f"all took {self.minutes():.1f} min, the budget is {WALL_MIN} min")
        return found

    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.is_enforced and self.over() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("time by tier")
        for tier, budget in BUDGETS_S.items():
            terminalreporter.line(
                f"{tier:12} {self.cases[tier]:5} cases {self.seconds[tier]:7.0f} s"
                f"  (budget {budget} s)"
            )
        terminalreporter.line(
            f"{'all':12} {self.cases.total():5} cases {self.minutes():7.1f} min"
            f"  (budget {WALL_MIN} min)"
        )
        terminalreporter.line(
            f"{'processor':12} {1000 * self.processor_s():.1f} ms for the reference work; budgets"
            f" are for {1000 * REFERENCE_S:.1f} ms, and {self.slowness():.2f} times as large here"
        )
        for message in self.over():
            terminalreporter.line(f"OVER BUDGET: {message}", red=True)
