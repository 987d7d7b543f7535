"""What each input adds to one prediction, on models whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from evergreen.modeling.explanation import check_explanation, explain_row
from evergreen.spec.data import Examples

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RNG.normal(size=200), "b": RNG.normal(size=200)})


@pytest.fixture
def spec_of(spec):
    def of(problem: str):
        examples = Examples(entity_key=("id",), label="y", problem=problem, numeric=("a", "b"))
        return spec.model_copy(update={"examples": examples, "inputs": {}})

    return of


class PlusRows(RegressorMixin, BaseEstimator):
    """Adds the number of rows it is asked about, so a row alone gets another answer."""

    def fit(self, X, y):  # noqa: N803
        self.feature_names_in_ = np.array(list(X.columns))
        return self

    def predict(self, X):  # noqa: N803
        return X["a"].to_numpy() + len(X)


class NeedsTwoRows(PlusRows):
    def predict(self, X):  # noqa: N803
        if len(X) < 2:
            raise ZeroDivisionError("one row has no spread")
        return X["a"].to_numpy()


def test_of_a_linear_model_it_is_the_weight_times_the_distance_from_the_mean(spec_of):
    model = Pipeline([("model", LinearRegression())]).fit(ROWS, 3 * ROWS["a"] - 2 * ROWS["b"])
    row, others = ROWS.iloc[:1], ROWS.iloc[1:101]

    found = explain_row(model, row, others, spec=spec_of("regression"))

    adds = {one.name: one.contribution for one in found.contributions}
    assert adds["a"] == pytest.approx(3 * (row["a"].iloc[0] - others["a"].mean()))
    assert adds["b"] == pytest.approx(-2 * (row["b"].iloc[0] - others["b"].mean()))
    assert found.reference_rows == 100
    assert found.prediction == pytest.approx(3 * row["a"].iloc[0] - 2 * row["b"].iloc[0])


def test_an_input_that_the_model_ignores_adds_nothing(spec_of):
    model = Pipeline([("model", LinearRegression())]).fit(ROWS, 3 * ROWS["a"])

    found = explain_row(model, ROWS.iloc[:1], ROWS.iloc[1:], spec=spec_of("regression"))

    assert [one.name for one in found.contributions] == ["a", "b"]
    assert found.contributions[1].contribution == pytest.approx(0, abs=1e-9)


def test_of_several_classes_the_likeliest_is_explained(spec_of):
    classes = np.select([ROWS["a"] > 0.5, ROWS["a"] < -0.5], ["high", "low"], "middle")
    model = Pipeline([("model", LogisticRegression())]).fit(ROWS, classes)
    row = pd.DataFrame({"a": [2.5], "b": [0.0]})

    found = explain_row(model, row, ROWS, spec=spec_of("multiclass"))

    assert found.answer == "probability that y is high"
    assert found.class_name == "high"
    assert found.contributions[0].name == "a"
    assert found.contributions[0].contribution > 0.5


def test_a_row_or_a_reference_that_is_not_there_is_refused(spec_of):
    model = Pipeline([("model", LinearRegression())]).fit(ROWS, ROWS["a"])

    with pytest.raises(ValueError, match="found 2, 200"):
        explain_row(model, ROWS.iloc[:2], ROWS, spec=spec_of("regression"))
    with pytest.raises(ValueError, match="found 1, 0"):
        explain_row(model, ROWS.iloc[:1], ROWS.iloc[:0], spec=spec_of("regression"))


@pytest.mark.parametrize(
    ("estimator", "is_same"), [(LinearRegression(), True), (PlusRows(), False)]
)
def test_the_check_finds_a_model_that_answers_otherwise_when_asked_alone(
    spec_of, estimator, is_same
):
    model = Pipeline([("model", estimator)]).fit(ROWS, ROWS["a"])

    found = check_explanation(model, spec_of("regression"), test=ROWS)

    assert (found.inputs, found.reference_rows, found.is_same_alone) == (2, 100, is_same)


def test_a_model_that_fails_on_one_row_stops_nothing_and_has_no_check(spec_of):
    model = Pipeline([("model", NeedsTwoRows())]).fit(ROWS, ROWS["a"])

    assert check_explanation(model, spec_of("regression"), test=ROWS) is None
