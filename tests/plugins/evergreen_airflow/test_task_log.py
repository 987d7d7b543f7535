from __future__ import annotations

import logging

import pytest

from evergreen.receipts.common import Check
from evergreen_airflow.task_log import log_checks, log_table, quiet_libraries


class Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log():
    logger, collected = logging.getLogger("test_task_log"), Collected()
    logger.setLevel(logging.INFO)
    logger.addHandler(collected)
    yield logger, collected.lines
    logger.removeHandler(collected)


def test_a_table_is_a_titled_group(log):
    logger, lines = log

    log_table(logger, "Versions", ("name", "score"), [("a", 0.123456), ("b", 2)])

    assert lines[0] == "::group::Versions"
    assert lines[-1] == "::endgroup::"
    assert [line.split() for line in lines[1:-1] if "─" not in line] == [
        ["name", "score"],
        ["a", "0.1235"],
        ["b", "2"],
    ]


def test_text_of_the_data_is_shown_as_it_is(log):
    """Rich would read [bold] as markup and :bug: as a picture."""
    logger, lines = log

    log_table(logger, "Odd", ("value",), [("[bold]x[/bold] :bug: 100% %s",)])

    assert "[bold]x[/bold] :bug: 100% %s" in lines[3]


def test_a_check_shows_measured_required_and_verdict(log):
    logger, lines = log

    log_checks(logger, "Gates", [Check(name="n", status="failed", measured="1", required=">= 2")])

    assert lines[3].split() == ["n", "1", ">=", "2", "FAIL"]


def test_libraries_are_quiet_only_while_a_stage_works():
    logging.getLogger("mlflow").setLevel(logging.INFO)

    with quiet_libraries():
        assert not logging.getLogger("mlflow").isEnabledFor(logging.INFO)
        assert logging.getLogger("mlflow").isEnabledFor(logging.WARNING)

    assert logging.getLogger("mlflow").isEnabledFor(logging.INFO)
