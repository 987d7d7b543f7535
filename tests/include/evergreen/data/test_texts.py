"""The text of a category depends on its value alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.data.texts import as_texts, text_of

VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.times(),
)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.none() | VALUES, min_size=1, max_size=8), place=st.integers(0, 7))
def test_a_text_does_not_depend_on_other_values(values, place):
    place %= len(values)
    alone = as_texts(pd.Series([values[place]], dtype=object))[0]
    among = as_texts(pd.Series(values, dtype=object))[place]

    assert alone == among or (pd.isna(alone) and pd.isna(among))


@settings(max_examples=100, deadline=None)
@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_has_one_text_in_every_type(number):
    columns = [
        pd.Series([number]),
        pd.Series([number, None], dtype="Int64"),
        pd.Series([number, None], dtype="float64"),
        pd.Series([Decimal(number), None], dtype=object),
        pd.Series([number, "x"], dtype=object),
        pd.Series([number]).astype("category"),
    ]

    assert {as_texts(column)[0] for column in columns} == {str(number)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (np.bool_(False), "False"),
        (2**60 + 1, "1152921504606846977"),
        (7.5, "7.5"),
        (Decimal("7.50"), "7.5"),
        (date(2026, 1, 1), "2026-01-01"),
        (time(3, 4), "03:04:00"),
        (datetime.fromisoformat("2026-01-01"), "2026-01-01T00:00:00"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
    ],
)
def test_each_kind_has_a_text(value, text):
    assert text_of(value) == text


def test_instants_keep_their_time_whatever_the_other_rows_are():
    midnight = pd.Series(pd.to_datetime(["2026-01-01", "2026-01-02"]))

    assert as_texts(midnight)[0] == "2026-01-01T00:00:00"


@pytest.mark.parametrize("value", [b"x", [1], {"a": 1}, object()])
def test_what_has_no_text_is_refused(value):
    with pytest.raises(TypeError, match="expected text, a number"):
        as_texts(pd.Series([value, None], dtype=object))
