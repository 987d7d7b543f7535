"""The data sets of measurements are what their functions state."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.support.datasets import Dataset, bike_rentals, police_stops


@pytest.mark.parametrize(
    ("load", "rows", "days", "share_or_mean"),
    [
        (police_stops, 51_920, 366, 0.5027),
        (bike_rentals, 17_379, 731, 189.5),
    ],
)
def test_rows_days_and_label(load, rows, days, share_or_mean):
    data: Dataset = load()
    frame = data.rows

    assert len(frame) == rows
    assert frame["day"].nunique() == days
    assert frame["event_time"].is_monotonic_increasing
    assert str(frame["event_time"].dt.tz) == "UTC"
    assert (frame["day"] == frame["event_time"].dt.floor("D")).all()
    assert float(frame[data.label].astype(float).mean()) == pytest.approx(share_or_mean, rel=0.01)
    assert {*data.features, data.label, "event_time", "day"} == {*frame.columns}
    assert data.label not in data.features
    assert list(data.by_day()) == sorted(frame["day"].unique())


def test_a_bike_day_has_each_hour_at_most_once():
    rows = bike_rentals().rows

    assert rows["hr"].between(0, 23).all()
    assert not rows.duplicated(["day", "hr"]).any()
    assert rows.loc[rows["day"] == pd.Timestamp("2011-07-04", tz="UTC"), "holiday"].eq(1).all()
