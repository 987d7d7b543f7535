"""What the evaluation does with candidates that failed, and when it has no examples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import TriggerRule
from tests.conftest import ROOT

from evergreen.errors import UpstreamFailedError
from evergreen.modeling import evaluation
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import CandidateReceipt
from evergreen.spec import load_spec
from evergreen.spec.modeling import BASELINE
from evergreen_airflow.operators.evaluation import EvaluateChallengerOperator

SPEC = load_spec("flight_delay")
NAMES = list(SPEC.candidates)


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """Replace the core; return what it is asked."""
    calls: list[dict] = []

    def evaluate(_, **given):
        calls.append(given)
        return SimpleNamespace()

    monkeypatch.setattr(evaluation, "evaluate_challenger", evaluate)
    monkeypatch.setattr(evaluation, "require_present", lambda _, found, **__: found)
    monkeypatch.setattr(CandidateReceipt, "model_validate", lambda found: SimpleNamespace(**found))
    monkeypatch.setattr(ExamplesReceipt, "model_validate", lambda found: found)
    monkeypatch.setattr(EvaluateChallengerOperator, "_show", lambda *_: None)
    monkeypatch.setattr(EvaluateChallengerOperator, "workspace", None)
    return calls


def run(*fitted: str, examples: dict | None = None, **params: list[str]):
    operator = EvaluateChallengerOperator(
        task_id="evaluate_challenger",
        model=SPEC.model,
        candidates=[{"candidate": name} for name in fitted],
        examples=examples,
    )
    return operator.run_stage({"params": params})


def test_a_candidate_without_a_receipt_is_named_as_failed(asked):
    run(*NAMES[1:], BASELINE, examples={"a": 1})

    assert asked[0]["failed"] == [NAMES[0]]
    assert [one.candidate for one in asked[0]["candidates"]] == [*NAMES[1:], BASELINE]


def test_a_candidate_that_the_run_left_out_has_not_failed(asked):
    run(NAMES[0], BASELINE, examples={"a": 1}, candidates=[NAMES[0]])

    assert asked[0]["failed"] == []


def test_a_baseline_that_failed_is_named_too(asked):
    run(NAMES[0], examples={"a": 1}, candidates=[NAMES[0]])

    assert asked[0]["failed"] == [BASELINE]


def test_without_examples_it_fails_and_says_which_task_has_no_receipt(asked):
    with pytest.raises(UpstreamFailedError, match="prepare_examples has no receipt"):
        run(examples=None)

    assert asked == []


def test_the_dag_goes_on_whatever_became_of_one_candidate():
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(ROOT / "dags/retrain.py")).dags["flight_delay__retrain"]
    task = dag.get_task("evaluate_challenger")

    assert task.trigger_rule == TriggerRule.ALL_DONE
    assert {"train_candidate", "prepare_examples"} <= task.upstream_task_ids
    others = [t for t in dag.tasks if t.task_id != "evaluate_challenger"]
    assert {t.trigger_rule for t in others} == {TriggerRule.ALL_SUCCESS}
