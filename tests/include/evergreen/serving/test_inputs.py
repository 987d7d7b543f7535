"""What a row may hold, and how each value that it may not hold is named."""

from __future__ import annotations

import pytest

from evergreen.serving.inputs import MAX_ERRORS, MAX_NUMBER, InputError, RequestRows, check
from evergreen.spec import load_spec

SPEC = load_spec("flight_delay").examples
NUMBER, TEXT = SPEC.numeric[0], SPEC.categorical[0]


def rows(count: int = 1, **columns: list) -> RequestRows:
    given = {name: [1.0] * count for name in SPEC.numeric}
    given |= {name: ["x"] * count for name in SPEC.categorical}
    return check(given | columns, spec=SPEC, needed=SPEC.features, max_rows=50_000)


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, 10**38, MAX_NUMBER, -MAX_NUMBER])
def test_a_number_or_null_is_taken_as_it_is(value):
    found = rows(**{NUMBER: [value]}).inputs[NUMBER]

    assert found == [value]
    assert type(found[0]) is type(value)


@pytest.mark.parametrize("value", [None, "", "x" * 1000, "\N{SNOWMAN}", "1"])
def test_a_text_or_null_is_taken_as_it_is(value):
    assert rows(**{TEXT: [value]}).inputs[TEXT] == [value]


@pytest.mark.parametrize(
    ("value", "expected"), [(7, "7"), (-1, "-1"), (10**998, f"1{'0' * 998}"), (None, None)]
)
def test_an_integer_of_a_category_is_its_decimal_text(value, expected):
    assert rows(**{TEXT: [value]}).inputs[TEXT] == [expected]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("warm", "str 'warm'"),
        ("1", "str '1'"),
        (True, "bool 'True'"),
        (1e39, "float '1e+39'"),
        (10**39, f"int '{10**39}'"),
        (float("nan"), "float 'nan'"),
        (float("-inf"), "float '-inf'"),
        ([1], "list '[1]'"),
        ({"a": 1}, "dict \"{'a': 1}\""),
    ],
)
def test_what_is_no_number_is_named_with_row_and_column(value, found):
    with pytest.raises(InputError) as error:
        rows(3, **{NUMBER: [1, 2, value]})

    assert error.value.details == [
        {
            "row": 2,
            "column": NUMBER,
            "found": found,
            "expected": "a number within 32 bits, or null",
        }
    ]
    assert str(error.value) == (
        f"row 2, column {NUMBER}: found {found}, expected a number within 32 bits, or null"
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (False, "bool 'False'"),
        ("x" * 1001, f"str '{'x' * 50}'"),
        ("\ud800", r"str '\ud800'"),  # half of a pair: no text that a model can be given
    ],
)
def test_what_is_no_text_is_named_with_row_and_column(value, found):
    with pytest.raises(InputError) as error:
        rows(**{TEXT: [value]})

    assert error.value.details == [
        {
            "row": 0,
            "column": TEXT,
            "found": found,
            "expected": "a string of at most 1000 characters, or null",
        }
    ]


def test_every_error_is_counted_and_the_first_are_named():
    with pytest.raises(InputError, match=r"row 0, .* \(and 29999 more\)") as error:
        rows(30_000, **{NUMBER: ["x"] * 30_000})

    assert [one["row"] for one in error.value.details] == list(range(MAX_ERRORS))


def test_errors_of_several_columns_come_in_the_order_of_the_spec():
    with pytest.raises(InputError) as error:
        rows(2, **{TEXT: ["x", 1.5], NUMBER: ["x", 1]})

    assert [(one["column"], one["row"]) for one in error.value.details] == [(NUMBER, 0), (TEXT, 1)]


def test_an_entity_is_named_by_what_the_caller_sent():
    """An integer must not become 1.0: the share of a canary goes by this text."""
    assert rows(1, **{name: [1] for name in SPEC.numeric}).entities[0].startswith("1\x1f1\x1f")
