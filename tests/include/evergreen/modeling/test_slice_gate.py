"""A slice that fell behind is found; many slices do not hold back what is better everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import gate_cases

from evergreen.modeling.metrics import Labels
from evergreen.modeling.slice_gate import holm, slice_checks
from evergreen.spec.modeling import SliceGate


@pytest.fixture
def checks_of(spec):
    """Return the checks of a pair over the slices of one column."""

    def checks(truth, ours, theirs, days, names, **rule):
        gates = spec.gates.model_copy(update={"slices": SliceGate(columns=("group",), **rule)})
        inputs = gate_cases.inputs_of(truth, ours, days, champion=theirs, columns={"group": names})
        return list(slice_checks(spec.model_copy(update={"gates": gates}), inputs))

    return checks


def pair(
    rng,
    *,
    slices: int,
    share: float,
    rows: int = 250,
    ours: float = 0.5,
    theirs: float = 0.75,
    total_days: int = 7,
):
    """Return labels, two noisy views of their log odds, days and the slice of each row."""
    total = rows * slices
    names = np.repeat(np.arange(slices), rows)
    truth, chances, days = gate_cases.binary(
        rng, rows=total, share=share, spread=1.5, days=total_days
    )
    logit = np.log(chances / (1 - chances))
    noises = (
        gate_cases.sigmoid(logit + noise * 1.5 * rng.normal(size=total)) for noise in (ours, theirs)
    )
    return truth, *noises, days, names


@pytest.mark.parametrize(
    ("slices", "share", "tries"),
    [(1, 0.3, 60), (20, 0.05, 20), (60, 0.05, 20)],
)
def test_slices_rarely_hold_back_what_is_better_everywhere(checks_of, slices, share, tries):
    rng = np.random.default_rng(0)

    failed = gate_cases.share_failed(
        checks_of(*pair(rng, slices=slices, share=share)) for _ in range(tries)
    )

    assert failed <= 0.05


@pytest.mark.parametrize(("slices", "share"), [(1, 0.3), (20, 0.3), (60, 0.3)])
def test_a_slice_that_is_worse_by_far_fails_among_many(checks_of, slices, share):
    rng = np.random.default_rng(0)

    def tried():
        truth, ours, theirs, days, names = pair(
            rng, slices=slices, share=share, rows=500, total_days=14
        )
        blind = np.where(names == slices // 2, rng.random(len(ours)), ours)
        return checks_of(truth, blind, theirs, days, names)

    assert gate_cases.share_failed(tried() for _ in range(10)) >= 0.9


def test_a_larger_drop_than_allowed_that_is_not_shown_is_unknown(checks_of):
    rng = np.random.default_rng(0)
    found = [
        check
        for _ in range(20)
        for check in checks_of(*pair(rng, slices=5, share=0.05, ours=0.75), min_rows=20)
    ]

    assert "unknown" in {check.status for check in found if "against" in check.measured}


def test_a_slice_with_few_rows_of_one_class_is_unknown_and_names_them(checks_of):
    truth, ours, theirs, days, names = pair(np.random.default_rng(0), slices=1, share=0.5)
    few = np.zeros(len(truth), dtype=bool)
    few[:9] = True

    found = checks_of(Labels(problem="binary", values=few), ours, theirs, days, names)

    assert [c.status for c in found] == ["unknown"]
    assert found[0].measured == "250 rows, 9 of one class"


def test_without_predictions_of_both_nothing_is_compared(checks_of):
    truth, ours, theirs, days, names = pair(np.random.default_rng(0), slices=3, share=0.5)

    found = checks_of(truth, ours, np.full(len(theirs), np.nan), days, names)

    assert [(c.name, c.status) for c in found] == [("slices", "unknown")]


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=20))
def test_holm_rejects_the_smallest_and_never_more_than_one_by_one(p_values):
    rejected = holm(p_values, level=0.025)
    counted = [p for p in p_values if not math.isnan(p)]

    for p, is_rejected in zip(p_values, rejected, strict=True):
        assert not is_rejected or p <= 0.025
        assert is_rejected or math.isnan(p) or p > 0.025 / max(len(counted), 1)
    kept = [p for p, r in zip(p_values, rejected, strict=True) if not r and not math.isnan(p)]
    assert all(p <= min(kept, default=1) for p, r in zip(p_values, rejected, strict=True) if r)
