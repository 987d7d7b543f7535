"""
Promise 2: rows with ``event_time >= as_of`` or ``known_at > as_of`` never change the training
digest; manual and scheduled runs with the same ``as_of`` give the same digest; a zero-length window
raises.

The property test is in tests/include/evergreen/test_preparation.py, the refusal of an empty
interval in tests/plugins/evergreen_airflow/test_run.py.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import night


@pytest.fixture(scope="module")
def known(workflow):
    return workflow("known")


def test_by_hand_from_a_date_and_by_backfill_one_instant_is_one_piece_of_work(known):
    """Three ways to the same ``as_of``: the form, a logical date, a backfilled interval."""
    as_of = night(1)
    known.retrain(1, run_id="form")
    by_date = {"dag_run_id": "date", "logical_date": as_of.isoformat(), "conf": {}}
    answer = known.stack.api.http.post("/dags/known__retrain/dagRuns", json=by_date)
    assert answer.is_success, answer.text
    known.wait_for_backfill("retrain")
    known.backfill("retrain", 1, 1)

    runs = {run["run_type"]: run["dag_run_id"] for run in known.runs("retrain")}
    found = [
        known.receipt("retrain", run_id, "prepare_examples")
        for run_id in ("form", "date", runs["backfill"])
    ]

    assert {receipt["as_of"] for receipt in found} == {"2013-03-01T06:00:00Z"}
    assert len({receipt["digest"] for receipt in found}) == 1
    assert known.versions() == {"1": as_of.isoformat()}
    assert known.errors() == []


def test_nothing_later_than_as_of_is_in_the_examples(known):
    from evergreen.data.preparation import load_examples
    from evergreen.receipts.data import ExamplesReceipt

    receipt = ExamplesReceipt.model_validate(known.receipt("retrain", "form", "prepare_examples"))
    rows = load_examples(
        known.store, known.spec, receipt=receipt, segments=("fit", "validation", "test")
    )

    assert len(rows) > 5_000
    assert rows["event_time"].max() < night(1)
    assert rows["known_at"].max() <= night(1)
