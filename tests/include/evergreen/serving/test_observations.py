"""Answering times are counted into the buckets of the stored form."""

from __future__ import annotations

import numpy as np
import pytest

from evergreen.serving.observations import BOUNDS_MS, LatencyCounter, LatencyHistogram


def counted(*durations_ms: float, failed: bool = False) -> LatencyHistogram:
    counter = LatencyCounter()
    for ms in durations_ms:
        counter.add(ms, is_failed=failed)
    return counter.histogram


def test_a_time_falls_into_the_bucket_whose_upper_bound_it_does_not_exceed():
    for duration_ms, bucket in [(0, 0), (0.5, 0), (0.51, 1), (BOUNDS_MS[-1], 88), (1e9, 89)]:
        assert counted(duration_ms).buckets.index(1) == bucket


def test_requests_and_failures_are_counted():
    counter = LatencyCounter()
    counter.add(20, is_failed=False)
    counter.add(20, is_failed=True)

    found = counter.histogram

    assert (found.requests, found.failed, sum(found.buckets)) == (2, 1, 2)
    assert (counter.requests, counter.failed) == (2, 1)


def test_a_histogram_does_not_change_when_counting_goes_on():
    counter = LatencyCounter()
    before = counter.histogram
    counter.add(20, is_failed=False)

    assert before == LatencyHistogram()


def test_the_stored_form_has_one_count_per_bucket():
    stored = counted(0.4, 0.4).model_dump(mode="json")

    assert stored == {"requests": 2, "failed": 0, "slow": 0, "buckets": [2, *[0] * 89]}


@pytest.mark.parametrize("median_ms", [2, 20, 180, 236, 900])
def test_the_quantile_is_interpolated_in_its_bucket(median_ms):
    durations = np.random.default_rng(0).lognormal(np.log(median_ms), 0.7, 2000)

    assert counted(*durations).p95_ms == pytest.approx(np.quantile(durations, 0.95), rel=0.03)


def test_slow_requests_are_counted_by_the_limit_and_not_by_a_bucket():
    counter = LatencyCounter(slow_ms=250)
    for ms in (236, 250, 250.001, 260):
        counter.add(ms, is_failed=False)

    assert counter.histogram.slow == 2


def test_the_quantile_has_bounds():
    assert LatencyHistogram().p95_ms == 0
    assert counted(1e9, failed=True).p95_ms == BOUNDS_MS[-1]
