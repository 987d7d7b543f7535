"""The quantile of a day's greatest surprise, held against the closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evergreen.monitoring.drift_thresholds import _quantile_of_maximum


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("days", [7, 28, 365])
def test_the_quantile_is_that_of_a_gumbel_distribution_through_the_quartiles(level, days):
    maxima = 3 + np.random.default_rng(days).gumbel(size=days)
    low, middle, high = np.quantile(maxima, [0.25, 0.5, 0.75])

    def gumbel(share: float) -> float:
        return -math.log(-math.log(share))

    scale = (high - low) / (gumbel(0.75) - gumbel(0.25))
    expected = middle + (1 + 7 / days) * scale * (gumbel(level) - gumbel(0.5))

    assert _quantile_of_maximum(maxima, level) == pytest.approx(expected, rel=1e-12)


def test_it_is_never_below_one():
    assert _quantile_of_maximum(np.zeros(10), 0.99) == 1.0
