"""What Airflow's own OpenLineage provider learns from our operators."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from tests.conftest import AS_OF

from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import ScoringReceipt
from evergreen.receipts.release import RegistrationReceipt
from evergreen_airflow.operators.preparation import PrepareExamplesOperator
from evergreen_airflow.operators.registration import RegisterModelOperator
from evergreen_airflow.operators.scoring import ScorePartitionOperator
from evergreen_airflow.operators.validation import ValidateDataOperator


@pytest.fixture
def connected(store, spec, monkeypatch):
    """Connections to the test's store and to a registry, and the spec by its name."""
    of = {"conn_type": "generic", "extra": {"uri": store.uri}}
    monkeypatch.setenv("AIRFLOW_CONN_OBJECT_STORE_DEFAULT", json.dumps(of))
    registry = {"conn_type": "generic", "host": "http://mlflow:5000"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(registry))
    monkeypatch.setattr("evergreen_airflow.operators.base.load_spec", lambda model: spec)
    return store


def asked(operator):
    """Ask as the provider does when a task has ended."""
    return ExtractorManager().extract_metadata(
        dagrun=SimpleNamespace(run_id="r"),
        task=operator,
        task_instance_state="success",
        task_instance=None,
    )


def validated(spec) -> ValidateDataOperator:
    """A task that has validated the window."""
    run = {"model": spec.model, "as_of": AS_OF.isoformat(), "reason": "r", "partitions": 1}
    operator = ValidateDataOperator(task_id="t", model=spec.model, run=run, scope="training")
    operator.receipt = operator.run_stage({})
    return operator


def named(datasets) -> dict[tuple[str, str], object]:
    return {(d.namespace, d.name): d for d in datasets}


def test_a_validation_read_the_raw_tables_and_says_what_the_contract_said(connected, spec):
    operator = validated(spec)

    found = asked(operator)

    read, root = named(found.inputs), str(connected.root)
    assert set(read) == {("file", f"{root}/raw/flights"), ("file", f"{root}/raw/weather")}
    said = read["file", f"{root}/raw/flights"].inputFacets["dataQualityAssertions"].assertions
    assert {f"flights: {a.assertion}": a.success for a in said} == {
        c.name: c.status == "passed"
        for c in operator.receipt.checks
        if c.name.startswith("flights: ")
    }
    assert any(a.assertion == "columns and types" for a in said)
    (written,) = found.outputs
    assert written.name == f"{root}/validation/{spec.model}"
    assert written.facets["version"].datasetVersion == operator.receipt.record.sha256


def test_what_one_stage_writes_the_next_one_reads(connected, spec):
    first = validated(spec)
    given = first.receipt.model_dump(mode="json")
    second = PrepareExamplesOperator(task_id="u", model=spec.model, validation=given)
    second.receipt = second.run_stage({})

    ours, theirs = asked(second), asked(first)

    assert set(named(theirs.outputs)) == set(named(ours.inputs))
    assert set(named(ours.inputs)).isdisjoint(named(ours.outputs))
    assert ours.outputs[0].outputFacets["outputStatistics"].rowCount == second.receipt.rows


def test_a_version_is_written_by_its_registration_and_read_by_a_scoring(connected, spec):
    ref = ObjectRef(key=f"predictions/{spec.model}/d/p.parquet", sha256="0" * 64, size=9)
    score = ScorePartitionOperator(task_id="t", model=spec.model, run={}, validation={})
    score.receipt = ScoringReceipt(
        model=spec.model,
        as_of=AS_OF,
        day=AS_OF.date() - timedelta(days=1),
        version="7",
        predictions=ref,
        rows=3,
        mean_scores={},
    )
    register = RegisterModelOperator(
        task_id="u", model=spec.model, evaluation={}, validation={}, examples={}, drift={}
    )
    register.receipt = RegistrationReceipt(
        model=spec.model,
        as_of=AS_OF,
        version="7",
        key="k",
        created=True,
        passed=True,
        compared_with=None,
        evidence="e",
        run_id="r",
        experiment_id="1",
    )

    read, written = asked(score).inputs, asked(register).outputs

    assert [(d.namespace, d.name) for d in read] == [("http://mlflow:5000", f"models/{spec.model}")]
    assert named(read).keys() == named(written).keys()
    assert {d.facets["version"].datasetVersion for d in (*read, *written)} == {"7"}


def test_a_stage_that_failed_still_says_what_it_was_given(connected, spec):
    given = {"record": ObjectRef(key="validation/m/r.json", sha256="0" * 64, size=1).model_dump()}
    operator = PrepareExamplesOperator(task_id="t", model=spec.model, validation=given)

    found = operator.get_openlineage_facets_on_complete(None)

    assert [d.name for d in found.inputs] == [f"{connected.root}/validation/m"]
    assert found.outputs == []
