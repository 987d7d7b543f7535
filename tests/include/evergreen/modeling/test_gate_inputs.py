"""What the gates look at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evergreen.modeling.gate_inputs import ModelScores, days_of_rows, why_not_measurable
from evergreen.modeling.metrics import Labels


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_rows_without_a_finite_prediction_are_counted_once(shape):
    predictions = np.ones(shape)
    predictions[1], predictions[3] = np.nan, np.inf

    assert ModelScores(predictions=predictions, metrics={}).bad_rows == 2


def test_days_are_utc_days(spec):
    times = pd.to_datetime(["2013-03-01T23:59:59Z", "2013-03-02T00:00:00Z", "2013-03-01T00:00:00Z"])

    assert list(days_of_rows(spec, pd.DataFrame({"event_time": times}))) == [0, 1, 0]


def test_labels_that_are_all_alike_cannot_tell():
    alike = Labels(problem="regression", values=np.zeros(4))

    assert why_not_measurable(alike) == "cannot tell: all 4 test labels are the same"
    assert why_not_measurable(Labels(problem="regression", values=np.arange(4.0))) is None
