"""A pipeline that knows the labels from elsewhere is found out; useless inputs are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

from evergreen.modeling.sanity import gains_on_shuffled_labels, importances
from evergreen.spec.data import Examples
from evergreen.spec.modeling import Gates, SanityGate

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


@pytest.mark.parametrize("metric", ["root_mean_squared_error", "mean_absolute_error", "r2"])
@pytest.mark.parametrize("level", [1.0, 1.35, 1.65])
@pytest.mark.parametrize("seed", range(3))
def test_a_level_that_moved_is_no_gain_for_an_honest_pipeline(spec, metric, level, seed):
    """A skewed label whose level rises in the test days: the training median falls behind."""
    examples = spec.examples.model_copy(update={"problem": "regression"})
    gates = spec.gates.model_copy(update={"metric": metric})
    spec = spec.model_copy(update={"examples": examples, "gates": gates})
    rng = np.random.default_rng(seed)

    def rows(scale: float) -> pd.DataFrame:
        values = frame(seed).assign(y=rng.lognormal(0, 0.9, ROWS) * scale)
        return values.assign(event_time=pd.Timestamp("2013-01-01", tz="UTC"))

    train, test = rows(1.0), rows(level)
    model = fitted(Ridge(), train)

    assert max(gains_on_shuffled_labels(model, spec, train=train, test=test)) <= 0


@pytest.mark.parametrize("metric", ["brier_loss", "log_loss"])
def test_balanced_classes_are_no_gain_when_the_share_of_positives_moves(spec, metric):
    spec = spec.model_copy(update={"gates": spec.gates.model_copy(update={"metric": metric})})
    rng = np.random.default_rng(0)
    train = frame(0).assign(y=rng.random(ROWS) < 0.15)
    test = frame(1).assign(y=rng.random(ROWS) < 0.40)
    model = fitted(LogisticRegression(class_weight="balanced"), train)

    assert max(gains_on_shuffled_labels(model, spec, train=train, test=test)) <= 0
