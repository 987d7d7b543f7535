"""
What Evergreen adds to Airflow's own metrics: the cost of each task, and how each model is.

They go where ``[metrics]`` of Airflow sends them, OpenTelemetry or StatsD, and nowhere by default.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airflow.sdk.observability.stats import Stats

from evergreen.monitoring.health import Report
from evergreen.monitoring.monitors import MONITORS
from evergreen.receipts.monitoring import SEVERITY_ORDER, HealthReceipt
from evergreen.storage.base import ObjectStore

#: Units of ``ru_maxrss`` on Linux, getrusage(2).
KIB = 1024
#: From green, which is 0, to the worst.
STATES = tuple(reversed(SEVERITY_ORDER))


@dataclass
class Cost:
    """
    What a stage took.

    CPU seconds with those of its children, seconds on the clock, the most memory in bytes, and how
    many bytes of objects it read from the store and wrote to it.
    """

    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0

    def __str__(self) -> str:
        return (
            f"{self.cpu_s:.2f} CPU s in {self.wall_s:.2f} s, "
            f"{self.peak_bytes / 1e6:.0f} MB of memory at most, "
            f"{self.read_bytes / 1e6:.2f} MB read and {self.written_bytes / 1e6:.2f} MB written"
        )


@contextmanager
def measured_cost(store: ObjectStore) -> Iterator[Cost]:
    """Fill the yielded cost when the block has ended; its objects are those of *store*."""
    cost, before, started = Cost(), _cpu_seconds(), time.monotonic()
    read, written = store.traffic.read, store.traffic.written
    yield cost
    cost.cpu_s, cost.wall_s = _cpu_seconds() - before, time.monotonic() - started
    cost.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    cost.read_bytes = store.traffic.read - read
    cost.written_bytes = store.traffic.written - written


def report_cost(cost: Cost, *, model: str, task: str) -> None:
    """Hand *cost* to Airflow's metrics."""
    tags = {"model": model, "task": task}
    Stats.gauge("evergreen.task_cpu_seconds", cost.cpu_s, tags=tags)
    Stats.gauge("evergreen.task_peak_bytes", cost.peak_bytes, tags=tags)
    Stats.gauge("evergreen.task_read_bytes", cost.read_bytes, tags=tags)
    Stats.gauge("evergreen.task_written_bytes", cost.written_bytes, tags=tags)


def report_health(found: HealthReceipt, report: Report) -> None:
    """
    Hand the health of a day to Airflow's metrics.

    The state is its place in :data:`STATES`; each monitor adds its own numbers.
    """
    tags = {"model": found.model}
    Stats.gauge("evergreen.model_state", STATES.index(found.colour), tags=tags)
    for name, result in report.results.items():
        if result is not None:
            for gauge, value in MONITORS[name].gauges(result):
                Stats.gauge(f"evergreen.{gauge}", value, tags=tags)


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
