"""The receipt of one run of the tests in CI."""

from __future__ import annotations

from datetime import datetime

from evergreen.values import Frozen


class CiModule(Frozen):
    """The test cases of one JUnit class name: how many ended how, and their seconds."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float


class CiReceipt(Frozen):
    """
    What the tests of one commit gave, and who wrote and reviewed the commit.

    ``reviewers``: without the author.
    """

    commit: str
    author: str
    reviewers: tuple[str, ...]
    recorded_at: datetime
    modules: tuple[CiModule, ...]

    @property
    def is_green(self) -> bool:
        """Whether at least one test passed and none failed."""
        return any(m.passed for m in self.modules) and not any(m.failed for m in self.modules)

    def of(self, prefixes: tuple[str, ...]) -> tuple[CiModule, ...]:
        """Return the modules whose names are one of *prefixes*, or begin with one and a dot."""
        return tuple(
            module
            for module in self.modules
            if any(module.name == one or module.name.startswith(f"{one}.") for one in prefixes)
        )
