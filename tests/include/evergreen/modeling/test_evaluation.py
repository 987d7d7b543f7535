"""Which receipts of candidates one evaluation may use."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from evergreen.errors import ArtifactError, CandidateError
from evergreen.modeling import evaluation, training
from evergreen.modeling.evaluation import require_present, select_challenger
from evergreen.receipts.modeling import CandidateReceipt
from evergreen.spec import load_spec
from evergreen.spec.modeling import BASELINE
from evergreen.workspace import Workspace

SPEC = load_spec("flight_delay")
NAMES = list(SPEC.candidates)
EXAMPLES = SimpleNamespace(as_of=datetime(2013, 3, 1, tzinfo=UTC), digest="examples")


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    def key(spec, *, candidate, examples):
        return f"{candidate} of {examples.digest}"

    monkeypatch.setattr(evaluation, "candidate_key", key)


def receipt(name: str, *, key: str | None = None, **values: float) -> CandidateReceipt:
    return CandidateReceipt(
        model=SPEC.model,
        as_of=EXAMPLES.as_of,
        candidate=name,
        key=key or f"{name} of examples",
        run_id="r",
        model_id="m",
        artifact_sha256="0" * 64,
        artifact_bytes=1,
        params={},
        trials=0,
        validation=values,
    )


def present(*given: CandidateReceipt, wanted: tuple[str, ...] = (NAMES[0], BASELINE)):
    return require_present(SPEC, given, wanted=wanted, examples=EXAMPLES)


def test_receipts_of_the_present_spec_are_used_each_once():
    found = present(receipt(NAMES[0]), receipt(BASELINE), receipt(NAMES[0]))

    assert [one.candidate for one in found] == [NAMES[0], BASELINE]


@pytest.mark.parametrize(
    "foreign",
    [
        receipt("removed"),
        receipt(NAMES[0], key=f"{NAMES[0]} of other examples"),
        receipt(BASELINE, key="of another spec"),
    ],
)
def test_a_receipt_that_another_spec_made_is_refused_with_what_to_clear(foreign):
    with pytest.raises(
        CandidateError,
        match=rf"receipts of {foreign.candidate} .*Clear train_candidate of this run",
    ):
        present(receipt(NAMES[0]), foreign)


def test_one_map_index_cleared_after_a_candidate_was_removed_is_refused():
    """Before: gone, first, baseline. Now: first, baseline; index 0 alone was fitted again."""
    before = [receipt(NAMES[0], key="old"), receipt(BASELINE, key="old")]

    with pytest.raises(CandidateError, match=f"receipts of {NAMES[0]}, {BASELINE} that another"):
        present(receipt(NAMES[0]), *before)


def test_what_is_left_at_an_index_that_no_task_has_any_more_is_passed_over():
    found = present(receipt(NAMES[0]), receipt(BASELINE), receipt(BASELINE, key="old"))

    assert [one.key for one in found] == [f"{NAMES[0]} of examples", f"{BASELINE} of examples"]


def test_a_candidate_that_failed_is_only_missing():
    assert [one.candidate for one in present(receipt(BASELINE))] == [BASELINE]


def test_without_a_candidate_nothing_can_be_promoted():
    with pytest.raises(CandidateError, match="No candidate but the baseline was fitted"):
        select_challenger(SPEC, [receipt(BASELINE)])


def test_a_candidate_that_the_spec_does_not_name_is_refused_before_anything_is_done():
    with pytest.raises(CandidateError, match=r"found the candidate 'gone', expected one of"):
        training.train_candidate(
            Workspace(None, None, SPEC), candidate="gone", examples=EXAMPLES, tags={}
        )


def test_a_model_that_cannot_be_stored_leaves_no_run_behind(monkeypatch):
    client = MagicMock()
    fitted = SimpleNamespace(model=None, params={}, trials=(), validation={}, seconds=1.0)
    monkeypatch.setattr(training, "fit_for", lambda *_, **__: (fitted, None))
    monkeypatch.setattr(training, "example_rows", lambda *_: None)

    def refuse(*_, **__):
        raise ArtifactError("a type that was not reviewed")

    monkeypatch.setattr(training, "save_model", refuse)

    with pytest.raises(ArtifactError, match="a type that was not reviewed"):
        training._fit_and_log(
            Workspace(None, client, SPEC),
            candidate=BASELINE,
            examples=EXAMPLES,
            experiment="1",
            key="k",
            earlier=[],
            tags={},
        )

    assert client.mock_calls == []
