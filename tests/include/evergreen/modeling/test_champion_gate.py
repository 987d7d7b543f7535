"""The words of the champion gate, and that what could not be measured has not passed."""

from __future__ import annotations

import math

import pytest

from evergreen.modeling.champion_gate import champion_check
from evergreen.receipts.common import Check
from evergreen.spec.modeling import ChampionGate


def test_a_check_names_the_gain_its_lower_bound_and_what_is_required():
    found = champion_check(
        "roc_auc", gain=0.01234, lower_bound=0.0045, days=28, rule=ChampionGate()
    )

    assert found == Check(
        name="roc_auc over the champion",
        status="passed",
        measured="+0.0123, lower bound +0.0045 from 28 days",
        required="lower bound at 97.5% > 0",
    )


@pytest.mark.parametrize("lower", [math.nan, -0.1, 0.0, 0.02])
def test_a_bound_that_is_not_above_the_margin_fails(lower):
    rule = ChampionGate(margin=0.02, confidence=0.95)

    found = champion_check("log_loss", gain=0.05, lower_bound=lower, days=7, rule=rule)

    assert (found.status, found.required) == ("failed", "lower bound at 95.0% > 0.02")
