"""A search looks forward only, keeps to its budget, and begins where the champion stands."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from evergreen.errors import CandidateError
from evergreen.modeling.search import search_parameters, time_ordered_folds
from evergreen.spec.data import Examples, WindowSpec
from evergreen.spec.modeling import Search

DAYS, A_DAY = 12, 60
PIPELINE = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])


@pytest.fixture
def spec(spec):
    examples = Examples(entity_key=("id",), label="y", numeric=("x", "noise"))
    window = WindowSpec(train_days=20, validation_days=3, gap_days=1, test_days=4)
    return spec.model_copy(update={"examples": examples, "window": window})


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size = DAYS * A_DAY
    x = rng.normal(size=size)
    event = pd.Timestamp("2013-02-01", tz="UTC") + pd.to_timedelta(
        np.repeat(np.arange(DAYS), A_DAY) * 24 + 12, unit="h"
    )
    return pd.DataFrame(
        {
            "id": np.arange(size),
            "event_time": event,
            "known_at": event + pd.Timedelta(hours=2),
            "y": x + rng.normal(size=size) > 0,
            "x": x,
            "noise": rng.normal(size=size),
        }
    )


def test_each_fold_is_measured_on_later_days_after_a_gap(spec, rows):
    day = rows["event_time"].dt.day.to_numpy()

    folds = list(time_ordered_folds(rows, spec=spec, folds=3))

    assert [(set(day[fit]), set(day[later])) for fit, later in folds] == [
        ({1, 2}, {4, 5, 6}),
        ({1, 2, 3, 4, 5}, {7, 8, 9}),
        ({1, 2, 3, 4, 5, 6, 7, 8}, {10, 11, 12}),
    ]


def test_a_label_not_known_when_the_measured_days_begin_is_not_learnt_from(spec, rows):
    late = rows["id"] < 5
    begins = pd.Timestamp("2013-02-04", tz="UTC")
    changed = rows.assign(known_at=rows["known_at"].mask(late, begins + pd.Timedelta(hours=1)))

    first, second = list(time_ordered_folds(changed, spec=spec, folds=3))[:2]

    assert not first[0][:5].any()
    assert second[0][:5].all()


def search(spec, rows, *, start=None, **how):
    return search_parameters(
        PIPELINE, rows=rows, spec=spec, search=Search(**how), start=start or {}
    )


def test_a_small_space_is_tried_whole_and_once(spec, rows):
    found = search(spec, rows, space={"model__C": (0.001, 1.0, 10.0)}, trials=8)

    assert sorted(trial.params["model__C"] for trial in found) == [0.001, 1.0, 10.0]
    assert [trial.mean for trial in found] == sorted([t.mean for t in found], reverse=True)
    assert all(len(trial.folds) == 3 for trial in found)


def test_a_range_is_searched_within_its_bounds_and_its_budget(spec, rows):
    found = search(
        spec,
        rows,
        space={
            "model__C": {"low": 0.01, "high": 1.0, "log": True},
            "model__max_iter": {"low": 50, "high": 90},
        },
        trials=6,
    )

    assert len(found) == 6
    assert all(0.01 <= trial.params["model__C"] <= 1 for trial in found)
    assert {type(trial.params["model__max_iter"]) for trial in found} == {int}


def test_it_begins_with_the_champions_parameters(spec, rows):
    space = {"model__C": {"low": 0.01, "high": 1.0}}

    found = search(spec, rows, space=space, trials=3, start={"model__C": 0.123})

    assert 0.123 in [trial.params["model__C"] for trial in found]


def test_parameters_that_left_the_space_are_not_tried(spec, rows):
    space = {"model__C": {"low": 0.01, "high": 1.0}}

    found = search(spec, rows, space=space, trials=3, start={"model__C": 7.0, "gone": 1})

    assert len(found) == 3
    assert all(trial.params["model__C"] <= 1 for trial in found)


def test_the_same_rows_give_the_same_search(spec, rows):
    space = {"model__C": {"low": 0.01, "high": 1.0}}
    first, again = (search(spec, rows, space=space, trials=4) for _ in range(2))

    assert [(t.params, t.folds) for t in first] == [(t.params, t.folds) for t in again]


def test_the_budget_of_time_ends_it(spec, rows):
    space = {"model__C": {"low": 0.01, "high": 1.0}}

    found = search(spec, rows, space=space, trials=500, minutes=0.005)

    assert 1 <= len(found) < 500


def test_a_trial_that_fails_is_shown_and_the_others_go_on(spec, rows):
    found = search(spec, rows, space={"model__solver": ("lbfgs", "no such")}, trials=4)

    assert [trial.error is None for trial in found] == [True, False]
    assert "no such" in found[1].error


def test_a_search_in_which_nothing_can_be_fitted_says_why(spec, rows):
    with pytest.raises(CandidateError, match=r"None of 1 trials .*'no such'"):
        search(spec, rows, space={"model__solver": ("no such",)})


def test_too_few_days_for_the_folds_are_explained(spec, rows):
    with pytest.raises(CandidateError, match=r"3 fit days do not suffice for 3 folds"):
        search(spec, rows.head(3 * A_DAY), space={"model__C": (1.0,)})
