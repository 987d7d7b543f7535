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
    return pd.DataFrame(
        {"id": np.arange(ROWS), "x": x, "noise": rng.normal(size=ROWS), "y": y}
    ).assign(event_time=days_of(ROWS))


def days_of(rows: int) -> pd.Series:
    """Return the event times of *rows* on seven days."""
    days = pd.to_timedelta(np.arange(rows) % 7, unit="D")
    return pd.Series(pd.Timestamp("2013-03-01", tz="UTC") + days)


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


def test_the_shuffles_of_an_input_are_predicted_in_one_call_as_they_are_in_many(spec):
    """A call has a fixed cost, of many inputs most of all."""
    model = fitted(LogisticRegression(), frame(0))
    calls = []

    class Counted(Pipeline):
        def predict_proba(self, X):  # noqa: N803
            calls.append(X)
            parts = [X.iloc[n : n + 100] for n in range(0, len(X), 100)]
            return np.concatenate([super(Counted, self).predict_proba(part) for part in parts])

    found = importances(Counted(model.steps), spec, test=frame(1))

    assert len(calls) == 1 + len(found)
    for mine, expected in zip(found, importances(model, spec, test=frame(1)), strict=True):
        assert (mine.name, mine.cost) == (expected.name, pytest.approx(expected.cost))


def test_no_two_shuffled_rows_have_the_same_name(spec):
    """A step may look rows up by their names, as a join does."""
    model = fitted(LogisticRegression(), frame(0))

    class Joining(Pipeline):
        def predict_proba(self, X):  # noqa: N803
            return super().predict_proba(X[["x"]].join(X[["noise"]]))

    found = importances(Joining(model.steps), spec, test=frame(1))

    assert found == importances(model, spec, test=frame(1))


def test_an_input_that_helps_on_one_day_alone_is_not_shown_to_add_anything(spec):
    """By rows it would be: 429 of them agree."""
    train, test = frame(0), frame(1)
    is_one_day = (test["event_time"].dt.day == 1).to_numpy()
    test = test.assign(noise=np.where(is_one_day, test["y"] * 3.0, test["noise"]))
    model = fitted(LogisticRegression(), train)
    model.named_steps["model"].coef_[0] = [1.0, 0.5]

    found = {one.name: one for one in importances(model, spec, test=test)}

    assert found["noise"].cost > 0.02
    assert found["noise"].is_useless


def test_from_one_day_no_input_is_shown_to_add_anything(spec):
    test = frame(1).assign(event_time=pd.Timestamp("2013-03-01", tz="UTC"))

    found = importances(fitted(LogisticRegression(), frame(0)), spec, test=test)

    assert [one.lower for one in found] == [None, None]
    assert all(one.is_useless for one in found)


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
        return frame(seed).assign(y=rng.lognormal(0, 0.9, ROWS) * scale)

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
