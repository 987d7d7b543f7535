"""A model that was shown its answer must not pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evergreen.modeling.leakage import check_leaks, strongest_input
from evergreen.modeling.metrics import Labels
from evergreen.spec import load_spec
from evergreen.spec.data import Examples

ROWS = 2_000


@pytest.fixture
def spec():
    examples = Examples(entity_key=["id"], label="y", numeric=["x"], categorical=["c"])
    return load_spec("flight_delay").model_copy(update={"examples": examples})


@pytest.fixture
def honest() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "event_time": pd.Timestamp("2013-01-01", tz="UTC"),
            "y": rng.random(ROWS) < 0.3,
            "x": rng.random(ROWS),
            "c": rng.choice(["a", "b", "c"], ROWS),
        }
    )


def verdicts(spec, *, train, test) -> list[str]:
    truth = Labels.of(test, spec=spec.examples)
    return [check.status for check in check_leaks(spec, train=train, test=test, truth=truth)]


def test_honest_rows_pass(spec, honest):
    train = honest.assign(id=honest["id"] + ROWS)

    assert verdicts(spec, train=train, test=honest) == ["passed", "passed"]


def test_the_same_event_on_both_sides_fails(spec, honest):
    assert verdicts(spec, train=honest.head(1), test=honest) == ["failed", "passed"]


def test_the_same_entity_at_another_time_is_no_leak(spec, honest):
    train = honest.assign(event_time=honest["event_time"] - pd.Timedelta(days=30))

    assert verdicts(spec, train=train, test=honest) == ["passed", "passed"]


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("x", lambda f: f["y"].astype(float)),
        ("x", lambda f: -f["y"].astype(float)),
        ("x", lambda f: f["x"].where(f["y"])),  # filled in only once the outcome is known
        ("c", lambda f: f["y"].map({True: "late", False: "on time"})),
        ("c", lambda f: f["c"].mask(f["y"])),
    ],
)
def test_an_input_that_is_the_label_fails_and_is_named(spec, honest, name, leak):
    leaking = honest.assign(**{name: leak(honest)})
    train = honest.assign(id=honest["id"] + ROWS)

    truth = Labels.of(leaking, spec=spec.examples)
    found = list(check_leaks(spec, train=train, test=leaking, truth=truth))[1]

    assert found.status == "failed"
    assert found.measured == f"{name} alone orders 1.0000 of all pairs"


def test_a_unique_category_is_no_leak(spec, honest):
    """Every value occurs once and so is pure; that says nothing of rows not seen."""
    unique = honest.assign(c=honest["id"].astype(str))

    truth = Labels.of(unique, spec=spec.examples)
    assert strongest_input(spec, unique, truth=truth)[1] < 0.6


def test_an_input_that_is_the_number_to_predict_is_found(spec, honest):
    label = np.random.default_rng(1).normal(size=ROWS)
    truth = Labels(problem="regression", values=label)

    assert strongest_input(spec, honest, truth=truth)[1] < 0.6
    assert strongest_input(spec, honest.assign(x=label**3), truth=truth) == ("x", 1.0)


def test_an_input_that_gives_one_of_several_classes_away_is_found(spec, honest):
    codes = np.arange(ROWS) % 3
    truth = Labels(problem="multiclass", values=codes, classes=("a", "b", "c"))

    assert strongest_input(spec, honest.assign(c="z"), truth=truth)[1] < 0.6
    leaking = honest.assign(c=np.where(codes == 2, "yes", "no"))
    assert strongest_input(spec, leaking, truth=truth) == ("c", 1.0)


def label_check(spec, rows, truth=None):
    truth = truth or Labels.of(rows, spec=spec.examples)
    train = rows.assign(id=rows["id"] + ROWS)
    return list(check_leaks(spec, train=train, test=rows, truth=truth))[1]


@pytest.mark.parametrize("positives", [10, 12, 20, 49, 50, 1000, 1951, 1990])
def test_an_input_that_is_the_label_is_found_with_few_rows_of_a_class(spec, honest, positives):
    rows = honest.assign(y=np.arange(ROWS) < positives)

    found = label_check(spec, rows.assign(x=rows["y"].astype(float)))

    assert (found.status, found.measured) == ("failed", "x alone orders 1.0000 of all pairs")


@pytest.mark.parametrize("positives", [0, 1, 5, 9, 1991, 2000])
def test_too_few_rows_of_a_class_are_not_called_passed(spec, honest, positives):
    found = label_check(spec, honest.assign(y=np.arange(ROWS) < positives))

    assert found.status == "failed"
    assert found.measured == "not measured: 2000 test rows, too few of one label"
    assert "at least 10 rows of each class" in found.required


def test_an_input_with_too_few_values_is_named_and_not_called_passed(spec, honest):
    """Nine values that are the label, the rest missing on both sides."""
    sparse = honest["y"].astype(float).where(np.arange(ROWS) < 9)

    found = label_check(spec, honest.assign(x=sparse))

    assert found.status == "unknown"
    assert found.measured.endswith("not measured, too few values: x")


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_of_many_classes_each_is_measured(spec, honest, classes):
    """Ten classes of 200 rows used to be too few for each question."""
    codes = np.arange(ROWS) % classes
    names = tuple(f"class {n:02}" for n in range(classes))
    truth = Labels(problem="multiclass", values=codes, classes=names)

    assert label_check(spec, honest.assign(c="z"), truth).status == "passed"
    assert label_check(spec, honest.assign(c=codes.astype(str)), truth).status == "failed"


def test_a_rare_class_is_named_and_not_called_passed(spec, honest):
    codes = np.where(np.arange(ROWS) < 3, 2, np.arange(ROWS) % 2)
    truth = Labels(problem="multiclass", values=codes, classes=("a", "b", "rare"))

    found = label_check(spec, honest.assign(c="z"), truth)

    assert found.status == "unknown"
    assert found.measured.endswith("too few values: class rare")


@pytest.mark.parametrize("label", [0.0, 7.0])
def test_numbers_that_are_all_alike_are_not_called_passed(spec, honest, label):
    truth = Labels(problem="regression", values=np.full(ROWS, label))

    assert label_check(spec, honest, truth).status == "failed"


def test_infinite_values_are_ordered_like_any(spec, honest):
    leaking = honest["y"].map({True: np.inf, False: 0.0})

    assert label_check(spec, honest.assign(x=leaking)).status == "failed"


def test_honest_rows_with_ten_positives_are_rarely_refused(spec):
    """The other direction: 300 sets of 10 positives among 300 rows."""
    refused = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rows = pd.DataFrame(
            {
                "id": np.arange(300),
                "event_time": pd.Timestamp("2013-01-01", tz="UTC"),
                "y": np.arange(300) < 10,
                "x": rng.random(300),
                "c": rng.choice(["a", "b", "c"], 300),
            }
        )
        refused += label_check(spec, rows).status != "passed"

    assert refused == 0
