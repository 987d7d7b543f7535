"""Task logs a person can review: a headline, then titled tables in folding groups."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from evergreen.receipts.common import Check
from evergreen.receipts.monitoring import MonitorReceipt

#: Libraries whose INFO says nothing about a run. Their warnings and errors still appear.
CHATTY = (
    "mlflow",
    "alembic",
    "evidently",
    "matplotlib",
    "urllib3",
    "botocore",
    "pandera",
    "airflow.providers.amazon",
)
WIDTH = 118

#: Marks that survive in plain text, so that a log is readable in a terminal and in a mail.
MARKS = {"passed": "pass", "failed": "FAIL", "unknown": "unknown"}


def log_table(
    log: Any, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write *rows* as a table under *title*, in a group that Airflow's log view can fold."""
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    page = io.StringIO()
    # No markup and no emoji codes: a cell may hold any text of the data.
    Console(file=page, width=WIDTH, color_system=None, markup=False, emoji=False).print(table)
    log.info("::group::%s", title)
    for line in page.getvalue().splitlines():
        if line.strip():
            log.info("%s", line.rstrip())
    log.info("::endgroup::")


def log_checks(log: Any, title: str, checks: Iterable[Check]) -> None:
    """Write *checks* as a table: what was measured, what was required, and the verdict."""
    rows = [(c.name, c.measured, c.required, MARKS[c.status]) for c in checks]
    log_table(log, title, ("check", "measured", "required", "verdict"), rows)


def log_monitor(log: Any, what: str, found: MonitorReceipt) -> None:
    """Write what a monitor found: its colour on the first line, then every reason."""
    log.info("%s is %s on %s", what, found.colour.upper(), found.day)
    for reason in found.reasons:
        log.warning("%s", reason)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep chatty libraries at warnings while a stage works, each warning once."""
    before = {name: logging.getLogger(name).level for name in CHATTY}
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("once")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
