"""The words of the champion gate, and that what could not be measured has not passed."""

from __future__ import annotations

import math

import pytest

from evergreen.modeling.champion_gate import champion_check, confidence_text
from evergreen.modeling.paired_gain import PairedGain
from evergreen.receipts.common import Check
from evergreen.spec.modeling import ChampionGate


def found(gain: float, error: float) -> PairedGain:
    return PairedGain(gain=gain, error=error, clusters=28)


def test_a_check_names_the_gain_its_lower_bound_and_what_is_required():
    check = champion_check("roc_auc", found=found(0.05, 0.01), days=28, rule=ChampionGate())

    assert check == Check(
        name="roc_auc over the champion",
        status="passed",
        measured="+0.0500 (+0.0500 corrected for selection), lower bound +0.0295 from 28 days",
        required="lower bound at 97.5% > 0",
    )


def test_a_level_takes_the_place_of_the_confidence():
    rule = ChampionGate()

    check = champion_check("roc_auc", found=found(0.03, 0.01), days=28, rule=rule, level=0.0012)

    assert check.status == "failed"
    assert check.required == "lower bound at 99.88% > 0"
    assert "corrected" not in check.measured


@pytest.mark.parametrize("lower", [math.nan, -0.1, 0.0, 0.02])
def test_a_bound_that_is_not_above_the_margin_fails(lower):
    rule = ChampionGate(margin=0.02, confidence=0.95)
    error = (0.05 - lower) / found(0, 1.0).upper(0.95)

    check = champion_check("log_loss", found=found(0.05, error), days=7, rule=rule)

    assert (check.status, check.required) == ("failed", "lower bound at 95.0% > 0.02")


@pytest.mark.parametrize(
    ("confidence", "text"),
    [(0.9, "90.0%"), (0.95, "95.0%"), (0.975, "97.5%"), (0.9917, "99.17%"), (0.99883, "99.88%")],
)
def test_a_confidence_has_the_digits_that_tell_it_from_one(confidence, text):
    assert confidence_text(confidence) == text
