"""Values of personal columns stay out of what people read."""

from __future__ import annotations

import pandas as pd
import pytest

from evergreen.data.examples import ColumnSummary, explain_useless
from evergreen.data.personal_data import example_rows, with_coded_texts
from evergreen.spec.data import Examples
from evergreen.spec.inputs import InputGroup

ROWS = pd.DataFrame({"age": [41.0, 17.0, 30.0], "town": ["Bonn", "Ulm", "Bonn"]})


@pytest.fixture
def spec(spec):
    examples = Examples(entity_key=("id",), label="y", numeric=("age",), categorical=("town",))
    return spec.model_copy(update={"examples": examples, "inputs": {}})


def declared(spec, *columns: str):
    group = InputGroup(columns=columns, personal=True, purpose="a test")
    return spec.model_copy(update={"inputs": {"person": group}})


def test_the_rows_kept_with_a_model_hold_no_single_persons_value(spec):
    found = example_rows(ROWS, declared(spec, "age", "town"))

    assert found["age"].tolist() == [30.0] * 3
    assert found["town"].tolist() == ["Bonn"] * 3


def test_a_personal_text_that_is_null_throughout_leaves_nulls(spec):
    found = example_rows(ROWS.assign(town=None), declared(spec, "town"))

    assert found["town"].isna().all()


def test_what_is_not_declared_personal_is_kept_as_it_is(spec):
    pd.testing.assert_frame_equal(example_rows(ROWS, spec), ROWS)
    assert example_rows(ROWS, declared(spec, "town"))["age"].tolist() == [41.0, 17.0, 30.0]


def test_texts_become_codes_that_differ_as_the_texts_do(spec):
    found = with_coded_texts(ROWS, {"age", "town"})

    first, second, third = found["town"]
    assert first == third != second
    assert not {"Bonn", "Ulm"} & set(found["town"])
    assert found["age"].equals(ROWS["age"])


@pytest.mark.parametrize(("is_personal", "is_named"), [(True, False), (False, True)])
def test_the_error_about_a_constant_input_names_no_personal_value(is_personal, is_named):
    days = [ColumnSummary(rows=9, nulls=0, values=("1985",))]

    (error,) = explain_useless("born", days, is_personal=is_personal)

    assert ("1985" in error) is is_named
    assert "constant" in error
