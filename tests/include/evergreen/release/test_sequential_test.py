"""The rates at which a stage backs out and passes, whenever it is looked at."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from tests.conftest import ROOT

from evergreen.release.sequential_test import evidence_above, evidence_below, trials_needed

#: Stages that are simulated for each rate, and looks at each: 10 minutes, every 15 s.
STAGES, LOOKS, PER_MINUTE = 400, 40, (12, 60, 600)
LIMIT, FORBIDDEN = 0.01, 0.03


def outcomes(rate: float, *, per_minute: int, seed: int) -> dict[str, float]:
    """Return the shares of stages that backed out and that passed, waiting up to an hour."""
    rng, found = np.random.default_rng(seed), {"back_out": 0, "advance": 0, "stop": 0}
    for _ in range(STAGES):
        asked = rng.poisson(per_minute / 4, LOOKS * 6)
        totals, counts = np.cumsum(asked), np.cumsum(rng.binomial(asked, rate))
        found[outcome(counts, totals)] += 1
    return {name: count / STAGES for name, count in found.items()}


def outcome(counts: np.ndarray, totals: np.ndarray) -> str:
    for look, (count, total) in enumerate(zip(counts, totals, strict=True), start=1):
        if evidence_above(int(count), int(total), limit=LIMIT) >= math.log(100):
            return "back_out"
        if look >= LOOKS and evidence_below(int(count), int(total), limit=FORBIDDEN) >= math.log(
            20
        ):
            return "advance"
    return "stop"


@pytest.mark.parametrize("per_minute", PER_MINUTE)
@pytest.mark.parametrize("rate", [0.0, 0.005, 0.008, 0.01])
def test_a_version_within_the_limit_backs_out_in_at_most_one_of_a_hundred(rate, per_minute):
    found = outcomes(rate, per_minute=per_minute, seed=1)

    assert found["back_out"] <= 0.01 + 2 * math.sqrt(0.01 / STAGES)
    if rate <= LIMIT / 2:
        assert found["advance"] >= 0.97


@pytest.mark.parametrize("per_minute", PER_MINUTE)
def test_three_times_the_limit_passes_in_at_most_one_of_twenty(per_minute):
    found = outcomes(FORBIDDEN, per_minute=per_minute, seed=2)

    assert found["advance"] <= 0.05 + 2 * math.sqrt(0.05 / STAGES)
    if per_minute >= 60:
        assert found["back_out"] >= 0.95


def test_the_page_has_the_rates_that_are_simulated():
    """The table of docs/serving.md, row by row; each cell for 12, 60 and 600 requests a minute."""
    page = (ROOT / "docs" / "serving.md").read_text()
    rates = (0.005, 0.01, 0.02, 0.03)
    found = [[outcomes(rate, per_minute=n, seed=1) for n in PER_MINUTE] for rate in rates]

    for name, row in (("back_out", "backs out"), ("advance", "passes within the hour")):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {row}")]
        shown = [cell.strip().removesuffix(" %").split(", ") for cell in line.split("|")[2:-1]]
        simulated = [[100 * one[name] for one in cell] for cell in found]
        assert [[float(n) for n in cell] for cell in shown] == [
            pytest.approx(cell, abs=0.51) for cell in simulated
        ]


@settings(deadline=None, max_examples=100)
@given(total=st.integers(0, 400), share=st.floats(0, 1), limit=st.floats(0.001, 0.6))
def test_the_evidence_is_the_integral_it_stands_for(total, share, limit):
    count = round(share * total)
    b = max(1 / min(3 * limit, 0.5) - 1, 1.0)

    def ratio(p: float) -> float:
        prior = b * (1 - p) ** (b - 1) / (1 - limit) ** b
        odds = count * math.log(p / limit) + (total - count) * math.log((1 - p) / (1 - limit))
        return prior * math.exp(min(odds, 600))

    if count > 60:  # numbers beyond what a float holds
        return
    points = [p for p in (count / total if total else 0.5,) if limit < p < 1]
    expected, _ = integrate.quad(ratio, limit, 1, points=points or None, limit=200)

    found = evidence_above(count, total, limit=limit)

    assert found == pytest.approx(math.log(expected), abs=1e-3)


@given(total=st.integers(1, 5_000), limit=st.floats(0.001, 0.5))
def test_more_counts_are_more_evidence(total, limit):
    found = [evidence_above(n, total, limit=limit) for n in range(0, total, max(total // 20, 1))]

    assert all(a <= b + 1e-9 for a, b in pairwise(found) if b > -math.inf)


def test_at_a_limit_of_zero_one_count_is_enough():
    assert evidence_above(1, 10_000, limit=0) == math.inf
    assert evidence_above(0, 10_000, limit=0) == 0


@pytest.mark.parametrize(("limit", "needed"), [(0.03, 124), (0.1, 36), (0.3, 11)])
def test_the_requests_that_a_limit_calls_for(limit, needed):
    assert trials_needed(limit, alpha=0.05) == needed
    assert evidence_below(0, needed, limit=limit) >= math.log(20)
    assert evidence_below(0, needed - 1, limit=limit) < math.log(20)
