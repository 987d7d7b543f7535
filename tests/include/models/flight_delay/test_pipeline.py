"""How well the sample predicts, on two nights; `make bench-sample` measures nine of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.support.prepared import prepared_days

from evergreen.data import examples
from evergreen.data.window import start_of, training_window
from evergreen.modeling.baselines import linear_baseline
from evergreen.spec import load_spec
from models.flight_delay import pipeline

SPEC = load_spec("flight_delay")
INPUTS = list(SPEC.examples.features)


@pytest.mark.parametrize(("month", "least"), [(5, 0.765), (11, 0.69)])
def test_the_candidates_predict_unseen_days_better_than_a_linear_model(month, least):
    """Floors of two test weeks: one that is easier to predict than most, and one that is harder."""
    window = training_window(datetime(2013, month, 1, tzinfo=UTC), SPEC.window)
    days = [*window.train, *window.test]
    rows = examples.known(
        pd.concat(prepared_days(days).values()), spec=SPEC.examples, as_of=window.as_of
    )
    test = rows[rows["event_time"] >= start_of(window.test.first)]
    train = rows[rows["known_at"] <= start_of(window.test.first)]

    def auc(make) -> float:
        model = make(SPEC.examples, seed=SPEC.seed).fit(train[INPUTS], train["is_late"])
        return roc_auc_score(test["is_late"], model.predict_proba(test[INPUTS])[:, 1])

    found = {make.__name__: auc(make) for make in (pipeline.blend, pipeline.boosting)}

    assert min(found.values()) >= least, found
    assert min(found.values()) > auc(linear_baseline), found
