"""Metrics from sums per cluster are those of scikit-learn on the rows without the cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.modeling.metrics import Labels, value
from evergreen.modeling.row_values import ROW_FUNCTIONS, differ_without_each, values_without
from evergreen.spec.metrics import METRIC_DEFINITIONS

CASES = [
    (metric, problem) for metric in ROW_FUNCTIONS for problem in METRIC_DEFINITIONS[metric].problems
]


def example(problem: str, *, seed: int, rows: int, classes: int):
    rng = np.random.default_rng(seed)
    if problem == "regression":
        labels = rng.normal(size=rows)
        return Labels(problem=problem, values=labels), labels + rng.normal(size=rows)
    if problem == "binary":
        scores = rng.random(rows).round(2)  # 0 and 1 occur
        return Labels(problem=problem, values=rng.random(rows) < 0.5), scores
    names = tuple(f"class {n}" for n in range(classes))
    shares = rng.dirichlet(np.full(classes, 0.3), size=rows)
    codes = rng.integers(0, classes, size=rows)
    return Labels(problem=problem, values=codes, classes=names), shares


@pytest.mark.parametrize(("metric", "problem"), CASES)
@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(20, 200),
    classes=st.integers(2, 6),
    count=st.integers(2, 12),
)
def test_they_agree_with_scikit_learn(metric, problem, seed, rows, classes, count):
    truth, predictions = example(problem, seed=seed, rows=rows, classes=classes)
    clusters = np.arange(rows) % count

    found = values_without(metric, truth.values, predictions, clusters=clusters)

    expected = [
        value(truth.take(clusters != number), metric, predictions[clusters != number])
        for number in range(count)
    ]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=8),
)
def test_labels_differ_without_each_cluster_if_they_do_without_every_single_one(rows):
    labels, clusters = (np.array(column) for column in zip(*rows, strict=True))

    found = differ_without_each(labels, clusters=clusters)

    assert found == all(
        len(np.unique(labels[clusters != number])) > 1 for number in np.unique(clusters)
    )


def test_as_many_clusters_as_rows_need_no_memory_for_each():
    labels = np.arange(200_000) % 2

    assert differ_without_each(labels, clusters=np.arange(200_000))
