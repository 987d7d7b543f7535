"""Values of whole days, and categories, are compared with all days before."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from evergreen.monitoring.drift_distances import MAX_JENSEN_SHANNON, UNSEEN
from evergreen.monitoring.drift_past_values import calendar_columns, compare_past_values
from evergreen.monitoring.drift_summaries import summarise

FIRST = date(2024, 1, 1)


def days_of(values) -> dict:
    """One day per entry; what is no list is the value of all its rows."""
    return {
        FIRST + timedelta(days=n): summarise(
            pd.DataFrame({"x": one if isinstance(one, list) else [one] * 5})
        )
        for n, one in enumerate(values)
    }


def compared(values, name="x") -> list[float]:
    days = days_of(values)
    table = pd.DataFrame({"x": 0.3, f"x{UNSEEN}": 0.3}, index=list(days))
    return list(compare_past_values(table, days)[name])


def test_a_new_season_is_new_on_one_day_only():
    found = compared(["winter"] * 20 + ["spring"] * 20)

    assert found[20] == MAX_JENSEN_SHANNON
    assert set(found[1:20] + found[21:]) == {0.0}


def test_a_holiday_flag_that_occurred_before_is_known():
    found = compared([0] * 10 + [1] + [0] * 10 + [1, 0])

    assert found[10] == 1.0
    assert set(found[1:10] + found[11:]) == {0.0}


def test_the_first_of_a_month_is_no_news_but_a_new_year_is():
    found = compared([n // 30 % 12 + 1 for n in range(12 * 30, 18 * 30)] + [12])

    assert [day for day, step in enumerate(found) if step > 0] == [30, 60, 180]


def test_a_number_lies_as_far_away_as_the_nearest_value_before():
    assert compared([3] * 20 + [4] * 20 + [11])[40] == 7.0


def test_a_day_that_is_not_of_one_value_keeps_its_distance():
    assert compared([0] * 20 + [[0, 1, 0, 0, 0]])[20] == 0.3


def test_a_category_is_unseen_only_if_it_never_occurred():
    found = compared([["a", "b"], ["a", "c"], ["a", "b"], ["a", "d", "d", "b"]], f"x{UNSEEN}")

    assert found[1:] == [0.5, 0.0, 0.5]


def test_where_a_summary_lacks_rare_categories_the_reference_decides():
    many = [f"v{n}" for n in range(100)]

    assert compared([many, many], f"x{UNSEEN}") == [0.3, 0.3]


@pytest.mark.parametrize(
    ("values", "is_calendar"),
    [
        (["a"] * 30, True),
        ([1] * 30, True),
        (list(range(1, 11)) * 3, True),
        (list(range(30)), False),  # a price of the day
        ([["a", "b"]] * 30, False),
        ([["a", "b"]] * 4 + ["a"] * 26, False),
        ([5 + n * 1e-13 for n in range(9)], True),
        ([None] * 30, False),
    ],
)
def test_which_columns_follow_the_calendar(values, is_calendar):
    assert calendar_columns(days_of(values)) == ({"x"} if is_calendar else set())


def test_the_table_is_not_changed_in_place():
    days = days_of([1, 2])
    table = pd.DataFrame({"x": [np.nan, 3.0]}, index=list(days))

    compare_past_values(table, days)

    assert table["x"].iloc[1] == 3.0
