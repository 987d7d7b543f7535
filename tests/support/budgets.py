"""How long each tier took, and how long it may take."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.support.tiers import TIERS

#: Seconds of all tests of a tier together, setup and teardown included; two processors, three
#: processes. A test that waits for another process counts as well. Measured on an idle machine:
#: 307, 1041 and 882 s.
BUDGETS_S = {"unit": 400, "integration": 1200, "e2e": 1050}
#: Minutes of a whole ``make test`` after its checks; 12.9 were measured. The aim is 12.
WALL_MIN = 14
#: A tier that is this much over its budget fails: a slower machine does not, a slower tier does.
TOLERANCE = 4 / 3


class Report:
    """Sums up durations in the first process of a run, and prints them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self.is_enforced = config.getoption("--enforce-budgets")
        self.began = time.monotonic()
        self.seconds: Counter[str] = Counter()
        self.cases: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        tier = next((tier for tier in TIERS if tier in report.keywords), "unknown")
        self.seconds[tier] += report.duration
        self.cases[tier] += report.when == "call"

    def over(self) -> list[str]:
        """Return a message for each tier that is over its budget, and one for the whole."""
        found = [
            f"{tier} took {self.seconds[tier]:.0f} s, its budget is {budget} s"
            for tier, budget in BUDGETS_S.items()
            if self.seconds[tier] > budget * TOLERANCE
        ]
        if self.minutes() > WALL_MIN * TOLERANCE:
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
        for message in self.over():
            terminalreporter.line(f"OVER BUDGET: {message}", red=True)
