"""Calibrated models pass whatever their days; those that are not are found, rare classes too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import gate_cases

from evergreen.modeling.calibration_gate import calibration_checks, chance_of
from evergreen.modeling.metrics import Labels

TRIES = 100


@pytest.fixture
def checks_of(spec):
    """Return the checks of predictions, given as labels, predictions and days."""

    def checks(truth, predictions, days, *, champion=None):
        inputs = gate_cases.inputs_of(truth, predictions, days, champion=champion)
        return list(calibration_checks(spec, inputs))

    return checks


def distorted(chances: np.ndarray, times: float) -> np.ndarray:
    """Return *chances* with the first class, or the positive one, so many *times* as probable."""
    if chances.ndim == 1:
        return np.clip(chances * times, 0, 1)
    wrong = chances.copy()
    wrong[:, 0] *= times
    return wrong / wrong.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "case",
    [
        {"rows": 200, "share": 0.5},
        {"rows": 200, "share": 0.3},
        {"rows": 300, "share": 0.02},
        {"rows": 3000, "share": 0.001},
        {"rows": 3000, "share": 0.2, "effect": 0.5},
        {"rows": 3000, "share": 0.2, "effect": 1.0},
        {"rows": 1500, "share": 0.1, "effect": 0.5, "days": 28},
    ],
    ids=str,
)
def test_true_chances_fail_in_at_most_one_of_twenty_tries(checks_of, case):
    rng = np.random.default_rng(0)

    failed = gate_cases.share_failed(
        checks_of(*gate_cases.binary(rng, **case)) for _ in range(TRIES)
    )

    assert failed <= 0.05


@pytest.mark.parametrize("case", [(300, 10), (1000, 10), (1000, 3)], ids=str)
def test_true_chances_of_many_classes_fail_in_at_most_one_of_twenty_tries(checks_of, case):
    rng = np.random.default_rng(0)
    rows, classes = case

    failed = gate_cases.share_failed(
        checks_of(*gate_cases.multiclass(rng, rows=rows, classes=classes)) for _ in range(TRIES)
    )

    assert failed <= 0.05


@pytest.mark.parametrize("effect", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("days", [7, 14])
def test_an_unbiased_number_fails_in_at_most_one_of_twenty_warm_or_cold_weeks(
    checks_of, effect, days
):
    rng = np.random.default_rng(0)

    failed = gate_cases.share_failed(
        checks_of(*gate_cases.regression(rng, rows=1000, effect=effect, days=days))
        for _ in range(TRIES)
    )

    assert failed <= 0.05


@pytest.mark.parametrize(
    ("case", "times"),
    [
        ({"rows": 3000, "share": 0.01}, 5),
        ({"rows": 20_000, "share": 0.001}, 50),
        ({"rows": 3000, "share": 0.05}, 2.5),
        ({"rows": 3000, "share": 0.01}, 0.1),
        ({"rows": 3000, "share": 0.2}, 1.7),
        ({"rows": 3000, "share": 0.95}, 0.5),
    ],
    ids=str,
)
def test_probabilities_that_are_too_high_or_too_low_fail(checks_of, case, times):
    rng = np.random.default_rng(0)

    def tried():
        truth, chances, days = gate_cases.binary(rng, **case)
        return checks_of(truth, distorted(chances, times), days)

    assert gate_cases.share_failed(tried() for _ in range(50)) >= 0.9


@pytest.mark.parametrize("times", [5, 0.1])
def test_a_rare_class_of_several_with_wrong_chances_fails_and_is_named(checks_of, times):
    truth, chances, days = gate_cases.multiclass(np.random.default_rng(0), rows=3000, classes=5)

    error, frequency = checks_of(truth, distorted(chances, times), days)

    assert (error.status, frequency.status) == ("passed", "failed")
    assert "class 0" in frequency.measured


def test_two_wrong_classes_fail_with_seven_days(checks_of):
    """The correction for several classes must leave a level that seven days can reach."""
    truth, chances, days = gate_cases.multiclass(np.random.default_rng(0), rows=3000, classes=6)
    wrong = chances * [6, 0.2, 1, 1, 1, 1]
    wrong /= wrong.sum(axis=1, keepdims=True)

    assert checks_of(truth, wrong, days)[1].status == "failed"


def test_a_biased_number_fails(checks_of):
    rng = np.random.default_rng(0)

    def tried():
        truth, expected, days = gate_cases.regression(rng, rows=1000, effect=0.1)
        return checks_of(truth, expected + 0.3, days)

    assert gate_cases.share_failed(tried() for _ in range(50)) >= 0.9


def test_a_champion_that_is_as_wrong_lets_the_challenger_pass(checks_of):
    truth, chances, days = gate_cases.binary(np.random.default_rng(0), rows=3000, share=0.2)
    wrong = distorted(chances, 2.5)

    assert [c.status for c in checks_of(truth, wrong, days)] == ["failed", "failed"]
    found = checks_of(truth, wrong, days, champion=distorted(chances, 2.6))
    assert [c.status for c in found] == ["passed", "passed"]
    found = checks_of(truth, wrong, days, champion=np.full(len(chances), np.nan))
    assert [c.status for c in found] == ["failed", "failed"]


def test_an_error_beyond_its_limit_that_chance_explains_is_neither_green_nor_a_refusal(checks_of):
    truth, expected, days = gate_cases.regression(np.random.default_rng(0), rows=1000, effect=0.8)
    found = next(
        check
        for shift in np.linspace(0.1, 0.6, 30)
        for check in checks_of(truth, expected + shift, days)
        if check.status != "passed"
    )

    assert found.status == "unknown"
    assert "may be chance" in found.measured


@pytest.mark.parametrize("days", [1, 4])
def test_too_few_days_to_tell_an_error_from_chance_fail(checks_of, days):
    truth, chances, of = gate_cases.binary(
        np.random.default_rng(0), rows=3000, share=0.2, days=days
    )

    found = checks_of(truth, distorted(chances, 2), of)[0]

    assert found.status == "failed"
    assert "too few days" in found.measured


def test_one_class_and_predictions_that_are_no_numbers_are_never_green(checks_of):
    days = gate_cases.days_of(700, 7)
    alike = Labels(problem="binary", values=np.zeros(700, dtype=bool))
    truth, chances, _ = gate_cases.binary(np.random.default_rng(0), rows=700, share=0.2)
    chances[3] = math.nan

    for found in (checks_of(alike, np.full(700, 0.1), days), checks_of(truth, chances, days)):
        assert [check.status for check in found] == ["failed", "failed"]
        assert all("cannot tell" in c.measured or "not finite" in c.measured for c in found)


@given(
    sums=st.lists(st.integers(-5, 5), min_size=7, max_size=11),
    groups=st.integers(1, 3),
)
def test_a_p_value_is_one_and_the_same_for_residuals_of_the_other_sign(sums, groups):
    days = np.repeat(np.arange(len(sums)), 6)
    residuals = np.repeat(np.array(sums, dtype=float), 6)
    residuals[0] += 0.25  # a t-test of equal sums has no p-value
    of = np.arange(len(days)) % groups

    found = chance_of(residuals, of, days)

    assert 0 <= found <= 1
    assert found == pytest.approx(chance_of(-residuals, of, days))
