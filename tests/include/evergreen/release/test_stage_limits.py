"""The limits of a stage on what both versions did."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.release.stage_limits import requests_needed, rules_of
from evergreen.serving.observations import LatencyHistogram
from evergreen.spec.release import RolloutLimits

LIMITS = RolloutLimits()


def counted(requests: int, *, failed: int = 0, slow: int = 0) -> LatencyHistogram:
    return LatencyHistogram(requests=requests, failed=failed, slow=slow)


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (LIMITS, 124),  # by the failures: three times 1 %
        (RolloutLimits(max_error_rate=0.2), 36),  # by the slow requests: twice 5 %
        (RolloutLimits(min_requests=500), 500),
        (RolloutLimits(min_requests=5), 124),
        (RolloutLimits(max_error_rate=0), 1251),  # as a limit of 0.1 %
    ],
)
def test_the_limits_say_how_many_requests_are_needed(limits, needed):
    assert requests_needed(limits) == pytest.approx(needed, abs=2)


def test_ten_times_slower_than_the_champion_and_beyond_the_limit_is_broken():
    _, slowness = rules_of(counted(200, slow=60), counted(200), LIMITS)

    assert slowness.is_broken
    assert not slowness.is_kept


def test_236_ms_are_within_a_limit_of_250():
    """Counted in a bucket up to 269 ms, they were beyond it."""
    _, slowness = rules_of(counted(200), counted(200), LIMITS)

    assert slowness.is_kept
    assert not slowness.is_broken


def test_two_of_120_failures_beside_a_champion_that_fails_as_often_are_not_broken():
    failures, _ = rules_of(counted(120, failed=2), counted(1_000, failed=15), LIMITS)

    assert not failures.is_broken


@settings(deadline=None)
@given(
    requests=st.integers(0, 100_000),
    bad=st.floats(0, 1),
    others=st.integers(0, 100_000),
    theirs=st.floats(0, 1),
    limit=st.sampled_from([0.0, 0.001, 0.01, 0.5, 1.0]),
)
def test_every_count_has_an_answer(requests, bad, others, theirs, limit):
    failed, champion = round(requests * bad), round(others * theirs)
    limits = RolloutLimits(max_error_rate=limit)

    failures, _ = rules_of(
        counted(requests, failed=failed), counted(others, failed=champion), limits
    )

    assert {failures.is_broken, failures.is_kept} <= {True, False}
