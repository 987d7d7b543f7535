"""A type that may not be stored is found on a few rows, before the fit that takes hours."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from evergreen.errors import ArtifactError
from evergreen.modeling import candidates
from evergreen.modeling.reviewed_types import ROWS, _few, check_types_early
from evergreen.spec import load_spec

SPEC = load_spec("flight_delay")
#: Frames whose small part is looked at.
FRAMES = 200


class Unreviewed(ClassifierMixin, BaseEstimator):
    """A classifier of a type that is on no list; it counts the rows of each fit."""

    seen: ClassVar[list[int]] = []

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def fit(self, rows, labels):
        self.seen.append(len(rows))
        if self.fails:
            raise ValueError("too few rows")
        self.classes_ = np.unique(labels)
        return self


@pytest.fixture(autouse=True)
def _count():
    Unreviewed.seen.clear()


def frame(labels: list) -> pd.DataFrame:
    columns = {name: np.ones(len(labels)) for name in SPEC.examples.numeric}
    columns |= {name: ["A"] * len(labels) for name in SPEC.examples.categorical}
    return pd.DataFrame(columns | {SPEC.examples.label: labels})


def test_an_unreviewed_type_is_refused_after_a_fit_on_few_rows(monkeypatch):
    rows = frame([True, False] * 5_000)
    pipeline = Pipeline([("model", Unreviewed())])
    monkeypatch.setattr(candidates, "load_training", lambda *_, **__: (rows, len(rows)))
    monkeypatch.setattr(candidates, "build_candidate", lambda *_: pipeline)

    with pytest.raises(ArtifactError, match=r"Unreviewed.*name them under trusted_types"):
        candidates.fit_for(None, SPEC, candidate="linear", examples=None, search=None, params=None)

    assert Unreviewed.seen == [ROWS]


def test_a_type_that_the_spec_trusts_goes_on():
    name = f"{Unreviewed.__module__}.Unreviewed"
    trusting = SPEC.model_copy(update={"trusted_types": (name,)})

    check_types_early(Pipeline([("model", Unreviewed())]), rows=frame([True, False]), spec=trusting)


def test_reviewed_types_and_a_fit_that_needs_more_rows_go_on():
    linear = Pipeline([("model", LogisticRegression())])
    numbers = SPEC.model_copy(
        update={"examples": SPEC.examples.model_copy(update={"categorical": ()})}
    )

    check_types_early(linear, rows=frame([True, False] * 300), spec=numbers)
    check_types_early(
        Pipeline([("model", Unreviewed(fails=True))]), rows=frame([True, False] * 9), spec=SPEC
    )


@settings(max_examples=FRAMES, deadline=None)
@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=30),
    st.sampled_from(["binary", "multiclass", "regression"]),
)
def test_a_few_rows_hold_every_class_of_any_frame(counts, problem):
    labels = [value for value, count in enumerate(counts) for _ in range(count)]
    rows = pd.DataFrame({SPEC.examples.label: np.random.default_rng(0).permutation(labels)})
    spec = SPEC.model_copy(
        update={"examples": SPEC.examples.model_copy(update={"problem": problem})}
    )

    few = _few(rows, spec)

    assert 1 <= len(few) <= ROWS
    assert few.index.is_monotonic_increasing
    assert few.index.is_unique
    if problem != "regression":
        assert set(few[SPEC.examples.label]) == set(labels)
