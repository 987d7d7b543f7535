"""The past made again: a version from its record, and what a range of nights would have done."""

from __future__ import annotations

import io
from datetime import timedelta

import pandas as pd
import pytest
from tests.conftest import AS_OF

from evergreen.errors import BacktestError, ReproductionError
from evergreen.operations.backtest import backtest
from evergreen.operations.reproduction import reproduce_version
from evergreen.spec.modeling import BaselineGate, CandidateSpec, Gates
from evergreen.workspace import Workspace


def reproduced(of, version: str) -> dict[str, str]:
    receipt = reproduce_version(Workspace(of.store, of.client, of.spec), version=version)
    return {check.name: check.status for check in receipt.checks}


def test_a_version_comes_out_the_same_to_the_byte(night):
    """With boosting and all: every candidate is fitted, the better one is made again."""
    both = {"linear": CandidateSpec(), "boosting": CandidateSpec()}
    night = night.at(AS_OF, candidates=both)
    night.registration()

    found = reproduced(night, "1")

    assert set(found.values()) == {"passed"}
    assert {"model, sha256", "test roc_auc", "code, digest", "scikit-learn"} <= set(found)


def test_other_code_is_named_and_another_model_is_a_difference(night, tmp_path, monkeypatch):
    night.registration()
    code = tmp_path / "code" / "models" / night.spec.model / "pipeline.py"
    code.write_text(code.read_text().replace("max_iter=500", "max_iter=500, C=0.001"))
    monkeypatch.delitem(__import__("sys").modules, f"models.{night.spec.model}.pipeline")
    monkeypatch.setattr("evergreen.digests.MODELS_DIR", tmp_path / "code" / "models")

    found = reproduced(night, "1")

    assert found["model, sha256"] == "failed"
    assert found["examples from today's raw data"] == "passed"


def test_a_day_corrected_since_is_named_and_the_version_still_comes_out_the_same(night, rewrite):
    night.registration()
    rewrite("flights", (AS_OF - timedelta(days=2)).date(), lambda f: f.iloc[30:])

    found = reproduced(night, "1")

    assert found["examples from today's raw data"] == "unknown"
    assert "failed" not in found.values()


def test_a_version_that_is_not_there_is_explained(night):
    night.registration()

    with pytest.raises(ReproductionError, match=r"has no version 9. Newest versions: 1\."):
        reproduced(night, "9")


def test_a_backtest_compares_without_touching_the_present(night):
    # Three nights are too few to be picky.
    gates = Gates(max_calibration_error=1, baseline=BaselineGate(linear=-1))
    nights = [night.at(AS_OF - timedelta(days=back), gates=gates) for back in (2, 1, 0)]
    for one in reversed(nights):  # as a parallel backfill might end: the newest first
        one.deployment()
    before = (night.champion(), night.ledger())

    receipt = backtest(
        Workspace(night.store, night.client, night.spec),
        first=AS_OF - timedelta(days=2),
        last=AS_OF,
    )

    table = pd.read_csv(io.BytesIO(night.store.get(receipt.table.key)))
    assert (receipt.nights, receipt.days) == (3, 2)
    assert table["day"].tolist() == ["2013-02-27", "2013-02-28"]
    # Night one was made last and has number 3; a midnight's version may score the day it begins.
    assert table["frozen_version"].tolist() == [3, 3]
    assert table["ungated_version"].tolist() == [3, 2]
    assert night.store.get(receipt.plot.key).startswith(b"\x89PNG")
    assert (night.champion(), night.ledger()) == before


def test_a_backtest_of_nothing_says_what_to_backfill(night):
    night.registration()

    with pytest.raises(BacktestError, match="airflow backfill create --dag-id"):
        backtest(Workspace(night.store, night.client, night.spec), first=AS_OF, last=AS_OF)


def test_a_correction_changes_exactly_the_windows_that_contain_the_day(night, rewrite):
    """Four nights; one day is corrected that two of them learn from or are judged on."""
    nights = [night.at(AS_OF - timedelta(days=back)) for back in range(4)]
    before = [one.examples().digest for one in nights]
    day, after = ((AS_OF - timedelta(days=back)).date() for back in (2, 1))
    untouched = {
        key: night.store.get(key)
        for key in night.store.list("examples/")
        if key.endswith(".parquet") and not any(f"/{d}/" in key for d in (day, after))
    }
    rewrite("flights", day, lambda f: f.iloc[30:])

    receipts = [one.examples() for one in nights]

    changed = [r.digest != b for r, b in zip(receipts, before, strict=True)]
    # The day ends at AS_OF - 1 d: it is in the windows of the nights 0 and 1 days back only.
    assert changed == [True, True, False, False]
    assert sum(r.days_prepared for r in receipts) == 2  # the day after looks back at it
    now = {key: night.store.get(key) for key in untouched}
    assert now == untouched
