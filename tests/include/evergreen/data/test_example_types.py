"""What a prepared row becomes depends on that row alone, and every day has the same types."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.data import examples
from evergreen.data.window import start_of
from evergreen.errors import CandidateError
from evergreen.spec.data import Examples

DAY = date(2026, 1, 5)
MIDNIGHT = pd.Timestamp(start_of(DAY))
SPEC = Examples(entity_key=["id"], label="y", numeric=["x"], categorical=["c"])


def _spec(**changes) -> Examples:
    return Examples.model_validate(SPEC.model_dump() | changes)


def _frame(rows: int = 4, **columns) -> pd.DataFrame:
    known = [MIDNIGHT + pd.Timedelta(days=1)] * rows
    found = pd.DataFrame(
        {
            "id": range(rows),
            "event_time": [MIDNIGHT] * rows,
            "known_at": known,
            "y": [True, False] * (rows // 2),
            "x": range(rows),
            "c": ["a", "b"] * (rows // 2),
        }
    )
    return found.assign(**columns)


def _checked(frame, **spec) -> examples.CheckedRows:
    return examples.checked(frame, spec=_spec(**spec), day=DAY)


NUMBERS = st.one_of(st.integers(-(2**62), 2**62), st.none())
CODES = st.one_of(st.integers(0, 99), st.sampled_from(["a", "7", "7.0"]), st.none(), st.booleans())


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(NUMBERS, CODES, st.sampled_from([0, 1, True, False])), min_size=1),
    data=st.data(),
)
def test_removing_other_rows_changes_no_row(rows, data):
    """Property: the prepared values of a row are the same alone and among any others."""
    x, codes, labels = (list(one) for one in zip(*rows, strict=True))
    frame = pd.DataFrame(
        {
            "id": [2**60 + n for n in range(len(rows))],
            "event_time": MIDNIGHT,
            "known_at": MIDNIGHT,
            "y": pd.Series(labels, dtype=object),
            "x": pd.Series(x, dtype="Int64"),
            "c": pd.Series(codes, dtype=object),
        }
    )
    kept = data.draw(st.integers(0, len(rows) - 1))

    among = _checked(frame).frame.set_index("id").loc[2**60 + kept]
    alone = _checked(frame.iloc[[kept]]).frame.set_index("id").loc[2**60 + kept]

    assert among.to_dict().keys() == alone.to_dict().keys()
    assert repr(among.to_dict()) == repr(alone.to_dict())


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pd.Series([7, 8, None, 9], dtype="Int64"), ["7", "8", None, "9"]),
        (pd.Series([7.0, 8.5, None, 9.0]), ["7", "8.5", None, "9"]),
        (pd.Series([Decimal("7.00"), None, None, None]), ["7", None, None, None]),
        (pd.Series([True, False, True, None], dtype="boolean"), ["True", "False", "True", None]),
        (pd.Series([7, 8, None, 9], dtype="int64[pyarrow]"), ["7", "8", None, "9"]),
        (pd.Series(["a", "b", None, "a"], dtype="category"), ["a", "b", None, "a"]),
    ],
)
def test_a_category_is_the_same_text_in_every_type(column, texts):
    found = _checked(_frame(c=column)).frame["c"]

    assert [None if pd.isna(text) else text for text in found] == texts


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pd.Series([2**60 + n for n in range(4)], dtype="Int64"), "int64"),
        (pd.Series([2**63 + n for n in range(4)], dtype="UInt64"), "uint64"),
        (pd.Series([1, 2, 3, 4], dtype="int8"), "int64"),
        (pd.Series(["a", "b", "c", "d"], dtype="category"), "str"),
        (pd.Series(["a", "b", "c", "d"], dtype=object), "str"),
        (pd.Series([date(2026, 1, n) for n in range(1, 5)]), "date"),
        (
            pd.Series(pd.date_range(MIDNIGHT, periods=4).tz_convert("Asia/Tokyo")),
            "datetime64[us, UTC]",
        ),
    ],
)
def test_a_key_has_one_type_and_keeps_every_bit(column, dtype):
    rows = _checked(_frame(id=column))

    assert rows.key_types == {"id": dtype}
    assert list(rows.frame["id"]) == list(column)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "UTC"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_of_any_zone_and_unit_are_stored_alike(zone, unit):
    instant = pd.Series([MIDNIGHT] * 4).dt.tz_convert(zone).dt.as_unit(unit)

    found = _checked(_frame(event_time=instant, known_at=instant)).frame

    assert str(found["event_time"].dtype) == str(found["known_at"].dtype) == "datetime64[us, UTC]"
    assert found["event_time"].tolist() == [MIDNIGHT] * 4


@pytest.mark.parametrize(
    ("labels", "spec", "says"),
    [
        (
            ["yes", "no", "unknown", None],
            {"positive_class": "yes"},
            "'no', 'unknown'; expected 'yes'",
        ),
        (["yes", "Yes", "yes", "yes"], {"positive_class": "yes"}, "'Yes'; expected 'yes'"),
        (
            ["yes", "?", "yes", "?"],
            {"positive_class": "yes", "negative_class": "no"},
            "'?'; expected",
        ),
        ([0, 1, 2, 0], {"positive_class": 1}, "'0', '2'; expected '1'"),
        ([0, 1, 2, 0], {}, "'2'; expected true, false or null"),
        (["true", "false", "true", "false"], {}, "'false', 'true'; expected true"),
        ([True, False, True, True], {"positive_class": "true"}, "'False', 'True'; expected"),
    ],
)
def test_a_third_value_in_a_binary_label_is_refused(labels, spec, says):
    frame = _frame(y=pd.Series(labels, dtype=object))
    frame["known_at"] = frame["known_at"].mask(frame["y"].isna())

    with pytest.raises(CandidateError) as raised:
        _checked(frame, **spec)

    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "spec"),
    [
        ([1, 0, 1, 0], {}),
        ([1.0, 0.0, 1.0, 0.0], {}),
        (["True", "False", "True", "False"], {}),
        ([1.0, 0.0, 1.0, 0.0], {"positive_class": 1}),
        (["1", "0", "1", "0"], {"positive_class": 1}),
        (["yes", "no", "yes", "no"], {"positive_class": "yes"}),
        (["yes", "no", "yes", "no"], {"positive_class": "yes", "negative_class": "no"}),
    ],
)
def test_two_values_are_a_label_in_every_type(labels, spec):
    assert _checked(_frame(y=labels), **spec).frame["y"].tolist() == [True, False, True, False]


def test_a_class_is_the_same_text_beside_an_unknown_label():
    frame = _frame(y=pd.Series([1.0, 2.0, None, 3.0]))
    frame["known_at"] = frame["known_at"].mask(frame["y"].isna())

    found = _checked(frame, problem="multiclass").frame["y"]

    assert found.dropna().tolist() == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"c": [b"x"] * 4}, "'c' holds bytes"),
        ({"c": [[1]] * 4}, "'c' holds list"),
        ({"id": [[1], [2], [3], [4]]}, "'id' holds list"),
        ({"id": [1, "2", 3, 4]}, "'id' holds values of several kinds, int, str"),
        ({"c": ["\ud800"] * 4}, "'c' holds text that is not valid Unicode"),
        ({"x": ["1"] * 4}, "'x' has type"),
    ],
)
def test_what_cannot_be_stored_is_refused(change, says):
    columns = {name: pd.Series(values, dtype=object) for name, values in change.items()}

    with pytest.raises(CandidateError, match=says):
        _checked(_frame(**columns))


BROKEN = {
    "outside the day": {"event_time": MIDNIGHT + timedelta(days=1)},
    "is infinite": {"x": float("inf")},
    "label known before": {"known_at": MIDNIGHT - timedelta(seconds=1)},
    "null in the entity key": {"id": None},
    "repeats the entity key": {"id": 5},
    "after the year": {"known_at": pd.Timestamp("2999-01-01", tz="UTC")},
}


@pytest.mark.parametrize("says", BROKEN)
def test_a_row_that_cannot_be_used_is_left_out_within_the_budget(says):
    frame = _frame(200, x=[float(n) for n in range(200)])
    frame["id"] = frame["id"].astype("Int64")
    ((name, value),) = BROKEN[says].items()
    frame.loc[7, name] = value

    rows = _checked(frame)

    assert len(rows.frame) == 199
    assert rows.reasons.index.tolist() == [7]
    assert says in rows.reasons[7]
    assert 7 not in rows.frame["id"].tolist()


def test_more_than_the_budget_refuses_the_day():
    frame = _frame(200)
    frame["x"] = frame["x"].astype("float64").where(frame["id"] > 2, float("inf"))

    with pytest.raises(CandidateError, match="3 of 200 rows: 'x' is infinite") as raised:
        _checked(frame)
    assert "at most 1.00% may be" in str(raised.value)
