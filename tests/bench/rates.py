"""Rates and means with their intervals, as the benches of decisions print and keep them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.support.equal_pairs import wilson


@dataclass(frozen=True)
class Rate:
    """
    How often *decision* was taken on *n* tries.

    ``low`` and ``high`` are of Wilson's 95 % interval (JASA 22, 1927); ``seconds`` are of the
    processor, for all tries. ``delay``: the median number of days until the decision, infinite if
    fewer than half took it. ``note``: why there is no rate, if *n* is 0.
    """

    decision: str
    data: str
    method: str
    n: int
    events: int
    seconds: float
    delay: float | None = None
    note: str = ""

    @property
    def rate(self) -> float:
        """Share of the tries."""
        return self.events / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the rate."""
        return wilson(self.events, self.n)


@dataclass(frozen=True)
class Mean:
    """The mean of *what* over *n* cases, and its standard error; ``seconds`` as of a rate."""

    what: str
    data: str
    method: str
    n: int
    mean: float
    error: float
    seconds: float = 0.0


def as_table(rates: Iterable[Rate]) -> str:
    """Return *rates* as a table in Markdown; with delays if any of them has one."""
    rates = list(rates)
    has_delays = any(one.delay is not None for one in rates)
    names = ["decision", "data", "method", "tries", "taken", "rate", "95 % interval"]
    names += ["median delay, days"] if has_delays else []
    lines = [_line([*names, "CPU s"]), "|---" * (len(names) + 1) + "|"]
    for one in rates:
        cells = [one.decision, one.data, one.method, str(one.n), *_counted(one)]
        cells += [_days(one.delay)] if has_delays else []
        lines.append(_line([*cells, f"{one.seconds:.1f}"]))
    return "\n".join(lines)


def means_as_table(means: Iterable[Mean]) -> str:
    """Return *means* as a table in Markdown."""
    names = ["what", "data", "method", "n", "mean", "standard error", "CPU s"]
    lines = [_line(names), "|---" * len(names) + "|"]
    for one in means:
        numbers = [str(one.n), f"{one.mean:+.4f}", f"{one.error:.4f}", f"{one.seconds:.1f}"]
        lines.append(_line([one.what, one.data, one.method, *numbers]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _counted(one: Rate) -> list[str]:
    if not one.n:
        return ["", f"not measured: {one.note}", ""]
    low, high = one.interval
    return [str(one.events), f"{one.rate:.1%}", f"{low:.1%} to {high:.1%}"]


def _days(delay: float | None) -> str:
    return "" if delay is None else f"{delay:g}" if delay < float("inf") else "not found"
