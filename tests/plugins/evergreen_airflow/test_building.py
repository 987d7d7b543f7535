from __future__ import annotations

import os
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from evergreen.errors import SpecError
from evergreen_airflow import build_results
from evergreen_airflow.building import LISTED, failed_builds, listed

#: One DAG for each model, which cannot be built as long as a file `broken` lies beside it.
DAG_FILE = """
from pathlib import Path
from airflow.sdk import dag
from evergreen_airflow.building import build_dags


def one(spec):
    @dag(dag_id=f"{spec.model}__one", schedule=None)
    def build():
        if (Path(__file__).parent / "broken").exists():
            raise LookupError("nothing there")

    build()


build_dags("one", one)
"""


@pytest.fixture
def dags(tmp_path) -> Path:
    (tmp_path / "one.py").write_text(DAG_FILE)
    return tmp_path


@pytest.fixture
def shared(monkeypatch) -> None:
    """What only the DAG processor has."""
    monkeypatch.setattr(build_results._Results, "shared", None)
    build_results.share()


def parse_in_a_fork(dags: Path) -> None:
    child = os.fork()
    if not child:
        try:
            DagBag(str(dags / "one.py"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_without_a_dag_processor_every_file_is_built_again(dags):
    DagBag(str(dags))
    (dags / "broken").touch()

    assert "the DAG flight_delay__one cannot be built: LookupError: nothing there." in str(
        failed_builds(dags)[0]
    )


@pytest.mark.usefixtures("shared")
def test_the_dag_processor_builds_again_only_what_failed(dags):
    """So that parsing costs no more than it did, as long as nothing fails."""
    parse_in_a_fork(dags)
    (dags / "broken").touch()
    known_as_complete = failed_builds(dags)
    parse_in_a_fork(dags)
    known_as_failed = failed_builds(dags)
    (dags / "broken").unlink()

    assert known_as_complete == []
    assert len(known_as_failed) == 1
    assert failed_builds(dags) == []


@pytest.mark.usefixtures("shared")
def test_a_file_that_was_not_parsed_yet_is_built(dags):
    (dags / "broken").touch()

    assert len(failed_builds(dags)) == 1


def test_very_many_errors_are_not_all_shown():
    text = listed([SpecError(f"error {n}") for n in range(LISTED + 7)])

    assert text.startswith("error 0\n\nerror 1\n\n")
    assert text.endswith("error 99\n\n7 more; correct these first.")
