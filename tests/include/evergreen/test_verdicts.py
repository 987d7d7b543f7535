"""A verdict that its own parts contradict is no verdict."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evergreen.receipts.common import Check, ObjectRef
from evergreen.receipts.data import DayVerdict, ValidationReceipt
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen.receipts.operations import ReproductionReceipt
from evergreen.receipts.release import (
    ApprovalReceipt,
    PromotionReceipt,
    ScoredSection,
    ScoredTest,
    TestScore,
)
from evergreen.values import Frozen

NOW = datetime(2013, 7, 1, tzinfo=UTC)
REF = ObjectRef(key="k", sha256="0", size=1)
CANDIDATE = CandidateReceipt(
    model="m",
    as_of=NOW,
    candidate="c",
    key="k",
    run_id="r",
    model_id="i",
    artifact_sha256="0" * 64,
    artifact_bytes=1,
    params={},
    trials=0,
    validation={},
)
statuses = st.lists(st.sampled_from(["passed", "failed", "unknown"]), max_size=5)


def checks(found: list[str]) -> tuple[Check, ...]:
    return tuple(
        Check(name=f"c{n}", status=one, measured="", required="") for n, one in enumerate(found)
    )


def evaluation(found: list[str], verdict: bool) -> Frozen:
    return EvaluationReceipt(
        model="m",
        as_of=NOW,
        challenger=CANDIDATE,
        candidates=(CANDIDATE,),
        champion_version=None,
        record_key="x",
        test_rows=1,
        metrics={},
        gates=checks(found),
        passed=verdict,
        details=REF,
    )


def promotion(found: list[str], verdict: bool) -> Frozen:
    return PromotionReceipt(
        model="m",
        as_of=NOW,
        version="1",
        to="prod",
        passed=verdict,
        compared_with=None,
        test_rows=1,
        gates=checks(found),
        registration=None,
    )


def reproduction(found: list[str], verdict: bool) -> Frozen:
    return ReproductionReceipt(
        model="m", as_of=NOW, version="1", is_identical=verdict, checks=checks(found)
    )


@pytest.mark.parametrize("make", [evaluation, promotion, reproduction])
@given(found=statuses, verdict=st.booleans())
def test_a_verdict_is_what_its_checks_give(make, found, verdict):
    if verdict == ("failed" not in found):
        make(found, verdict)
    else:
        with pytest.raises(ValidationError, match="one of them was changed"):
            make(found, verdict)


@given(found=statuses)
def test_a_window_that_broke_its_contract_has_no_receipt(found):
    values = {"model": "m", "as_of": NOW, "record": REF, "days": 1, "days_read": 1}
    values |= {"rows": 1, "quarantined": 0, "checks": checks(found)}
    if "failed" not in found:
        ValidationReceipt(**values)
    else:
        with pytest.raises(ValidationError, match="never kept"):
            ValidationReceipt(**values)


@given(asked=st.booleans(), approved=st.booleans())
def test_nobody_approves_without_a_question(asked, approved):
    values = {"model": "m", "as_of": NOW, "version": "1", "compared_with": None}
    values |= {"actor": "a", "message": "", "asked": asked, "approved": approved}
    if asked or not approved:
        ApprovalReceipt(**values)
    else:
        with pytest.raises(ValidationError, match="one of them was changed"):
            ApprovalReceipt(**values)


@pytest.mark.parametrize(
    ("broken", "reasons", "quarantine", "error"),
    [
        ((0, 2), {"a": 2}, REF, None),
        ((), {}, None, None),
        ((0,), {"a": 2}, REF, "one of them was changed"),
        ((0, 0), {"a": 2}, REF, "each once"),
        ((3,), {"a": 1}, REF, "from 0 to 2"),
        ((0,), {"a": 1}, None, "quarantine"),
        ((), {}, REF, "quarantine"),
    ],
)
def test_the_verdict_on_a_day_counts_its_broken_rows(broken, reasons, quarantine, error):
    values = {"table": "t", "day": date(2013, 7, 1), "raw_key": "r", "raw_sha256": "0", "rows": 3}
    values |= {"broken": broken, "reasons": reasons, "quarantine": quarantine, "newest_event": None}
    if error is None:
        DayVerdict(**values)
    else:
        with pytest.raises(ValidationError, match=error):
            DayVerdict(**values)


def test_a_test_score_is_the_least_of_its_sections():
    section = ScoredSection(name="s", tests=(ScoredTest(name="t", points=0.5, evidence=""),))

    assert TestScore(sections=(section,), total=0.5).total == 0.5
    with pytest.raises(ValidationError, match="one of them was changed"):
        TestScore(sections=(section,), total=7.0)
