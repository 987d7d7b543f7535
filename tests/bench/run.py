"""`make bench`: every measurement against the plain script, and docs/benchmarks.md from them."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from tests.bench.backfill import backfill
from tests.bench.night import growth, one_night
from tests.bench.page import Page
from tests.bench.parsing import parsing

HEADING = """# Benchmarks

`make bench` wrote this page: {cores} cores, Python {python}, Airflow {airflow}, {minutes:.0f}
minutes. The plain script is `tests/bench/plain_script.py`: the same data, the same model, the same
report, one process, no gates. CPU is that of every process a night causes, for Evergreen the idling
of the whole stack included. Ratios, not seconds, are the result; [performance.md](performance.md)
says what they mean."""
#: Where the page goes.
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    page, started = Page(), time.monotonic()
    for part in (parsing, one_night, backfill, growth):
        page.progress(f"{part.__name__}, after {(time.monotonic() - started) / 60:.0f} min")
        part(page)
    heading = HEADING.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        airflow=version("apache-airflow"),
        minutes=(time.monotonic() - started) / 60,
    )
    page.write(DOCS, heading=heading)


if __name__ == "__main__":
    main()
