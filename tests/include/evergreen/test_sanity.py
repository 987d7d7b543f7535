"""A pipeline that knows the labels from elsewhere is found out; useless inputs are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from evergreen.sanity import gains_on_shuffled_labels, importances
from evergreen.spec.data import Examples
from evergreen.spec.policy import Gates, SanityGate

ROWS = 3000


@pytest.fixture
def spec(spec):
    examples = Examples(entity_key=("id",), label="y", numeric=("x", "noise"))
    gates = Gates(sanity=SanityGate(shuffles=5, max_rows=1000))
    return spec.model_copy(update={"examples": examples, "gates": gates})


def frame(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=ROWS)
    y = x + rng.normal(size=ROWS) > 0
    return pd.DataFrame({"id": np.arange(ROWS), "x": x, "noise": rng.normal(size=ROWS), "y": y})


class KnowsBeforehand(ClassifierMixin, BaseEstimator):
    """Ignores what it is taught: somebody looked at the labels while writing it."""

    def fit(self, X, y):  # noqa: N803 - scikit-learn's name
        self.classes_, self.feature_names_in_ = np.array([False, True]), np.array(list(X.columns))
        return self

    def predict_proba(self, X):  # noqa: N803
        high = 1 / (1 + np.exp(-X["x"].to_numpy()))
        return np.column_stack([1 - high, high])


def fitted(model, train):
    return Pipeline([("model", model)]).fit(train[["x", "noise"]], train["y"])


def test_a_pipeline_that_learns_from_its_labels_leans_either_way(spec):
    train, test = frame(0), frame(1)

    gains = gains_on_shuffled_labels(
        fitted(LogisticRegression(), train), spec, train=train, test=test
    )

    assert len(gains) == 5
    assert min(gains) < 0


def test_a_pipeline_that_knows_the_labels_from_elsewhere_gains_every_time(spec):
    train, test = frame(0), frame(1)

    gains = gains_on_shuffled_labels(fitted(KnowsBeforehand(), train), spec, train=train, test=test)

    assert min(gains) > 0.2


def test_the_used_input_comes_first_and_the_unused_one_adds_nothing(spec):
    train, test = frame(0), frame(1)

    found = importances(fitted(LogisticRegression(), train), spec, test=test)

    assert [(one.name, one.is_useless) for one in found] == [("x", False), ("noise", True)]
    assert found[0].cost > 0.1
