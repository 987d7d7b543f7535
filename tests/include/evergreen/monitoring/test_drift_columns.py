"""Columns of every type become numbers or texts, and no value breaks a measurement."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evergreen.monitoring.drift_columns import comparable, is_text
from evergreen.monitoring.drift_distances import (
    UNMEASURABLE,
    chance_distances,
    measure_distances,
    possible_distances,
)
from evergreen.monitoring.drift_summaries import summarise

START = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
COLUMNS = {
    "bool": ([True, False], [1.0, 0.0]),
    "nullable bool": (pd.array([True, None], dtype="boolean"), [1.0, math.nan]),
    "nullable int": (pd.array([3, None], dtype="Int64"), [3.0, math.nan]),
    "decimal": ([Decimal("1.5"), None], [1.5, math.nan]),
    "datetime": (pd.to_datetime(["2024-05-01 06:00", "2024-05-02 00:00"]), [6.0, 24.0]),
    "datetime with a zone": (pd.to_datetime(["2024-05-01 06:00+02:00", None]), [4.0, math.nan]),
    "date": ([dt.date(2024, 5, 1), None], [0.0, math.nan]),
    "timedelta": (pd.to_timedelta(["90min", None]), [1.5, math.nan]),
    "all null": ([None, None], [math.nan, math.nan]),
    "text": (["a", None], ["a", math.nan]),
    "category": (pd.Categorical(["b", None]), ["b", math.nan]),
    "mixed": (["a", 1], ["a", "1"]),
    "lists": ([[1], {"a": 2}], ["[1]", "{'a': 2}"]),
    "bytes": ([b"a", None], ["b'a'", math.nan]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_type_has_its_treatment(kind):
    values, expected = COLUMNS[kind]

    found = comparable(pd.DataFrame({"x": values}), start=START)["x"]

    assert is_text(found) == any(isinstance(one, str) for one in expected)
    assert [None if pd.isna(one) else one for one in found] == [
        None if one is math.nan else one for one in expected
    ]


ANY_COLUMN = st.one_of(
    st.lists(st.one_of(st.none(), st.floats()), min_size=2, max_size=30),
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=2, max_size=30),
    st.lists(st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.floats()), min_size=2),
    st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)).map(pd.Timestamp), min_size=2),
    st.lists(st.one_of(st.none(), st.decimals(allow_nan=False)), min_size=2, max_size=30),
    st.lists(st.none(), min_size=2, max_size=5),
)


@settings(max_examples=200, deadline=None)
@example(then=[0.0, 9e69], now=[-9e69, 0.0])
@example(then=[0.0, 1.3e-136], now=[None, 0.0])
@example(then=[0.0, 1e-300], now=[1e-308, 0.0])
@given(then=ANY_COLUMN, now=ANY_COLUMN)
def test_any_two_columns_have_finite_distances_within_what_is_possible(then, now):
    sides = [pd.DataFrame({"x": pd.Series(side)}) for side in (then, now)]

    found = measure_distances(*sides)
    possible, chance = possible_distances(*sides), chance_distances(*sides)
    days = [summarise(side)["x"] for side in sides]

    assert all(math.isfinite(one) and one >= 0 for one in [*found.values(), *chance.values()])
    assert all(found[n] <= most * (1 + 1e-9) for n, most in possible.items() if n in found)
    assert all(math.isfinite(one) for day in days for one in (*day.numbers, *day.shares))
    assert all(0 <= day.missing <= 1 for day in days)


def test_the_same_rows_in_another_type_have_no_distance():
    rows = [1, 2, 2, 5]
    then = pd.DataFrame({"x": pd.Series([Decimal(n) for n in rows])})

    assert set(measure_distances(then, pd.DataFrame({"x": rows})).values()) == {0.0}


@pytest.mark.parametrize("level", [0.0, 5.0, -1e6, 1e9])
@pytest.mark.parametrize("noise", [1e-12, 1e-15])
def test_noise_of_floating_point_is_no_drift(level, noise):
    rng = np.random.default_rng(1)
    then = pd.DataFrame({"x": np.full(200, level)})
    now = pd.DataFrame({"x": level + rng.normal(size=50) * noise * max(abs(level), 1)})

    assert set(measure_distances(then, now).values()) == {0.0}


@pytest.mark.parametrize("value", [np.finfo(float).max, np.inf, -np.inf, 1e71])
def test_a_number_that_cannot_be_measured_is_counted_and_moves_nothing_else(value):
    rng = np.random.default_rng(2)
    then, now = (pd.DataFrame({"x": rng.normal(size=n)}) for n in (400, 100))
    broken = pd.concat([now, pd.DataFrame({"x": [value]})])

    with np.errstate(over="raise", invalid="raise"):
        found, sound = measure_distances(then, broken), measure_distances(then, now)

    assert found.pop(f"x{UNMEASURABLE}") == pytest.approx(1 / 101)
    assert found == pytest.approx(sound)
    assert f"x{UNMEASURABLE}" not in sound


def test_a_column_that_becomes_text_is_unknown_altogether():
    found = measure_distances(pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": ["a", "b"]}))

    assert found["x: unseen categories"] == 1.0
