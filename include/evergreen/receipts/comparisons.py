"""How a version compares with those before it, beyond what the gates decide on."""

from __future__ import annotations

from evergreen.values import Frozen


class DependencyChange(Frozen):
    """One distribution whose version differs; None where it is not installed."""

    name: str
    before: str | None
    now: str | None

    @property
    def text(self) -> str:
        """The change in one line."""
        return f"{self.name} {self.before or 'not installed'} -> {self.now or 'not installed'}"


class DependencyComparison(Frozen):
    """The libraries that a version was made with, beside those of the champion."""

    champion_version: str
    compared: int
    changes: tuple[DependencyChange, ...]


class ComputeMeasure(Frozen):
    """
    One time that a version takes, beside the median of earlier versions, in milliseconds.

    ``usual`` is None if no earlier version has the measure.
    """

    name: str
    now: float
    usual: float | None
    versions: int
    limit: float

    @property
    def has_regressed(self) -> bool:
        """Whether it takes more than the limit allows."""
        return self.usual is not None and self.now > self.limit * self.usual

    @property
    def text(self) -> str:
        """The measure in one line."""
        if self.usual is None:
            return f"{self.name} {self.now:.3g} ms, nothing to compare with"
        return (
            f"{self.name} {self.now:.3g} ms, the last {self.versions} versions {self.usual:.3g} ms"
        )


class VersionComparisons(Frozen):
    """
    A version beside the champion and beside the versions before it.

    ``dependencies`` is None without a champion whose libraries are known.
    """

    dependencies: DependencyComparison | None = None
    compute: tuple[ComputeMeasure, ...] = ()
