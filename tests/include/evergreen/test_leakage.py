"""A model that was shown its answer must not pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evergreen.leakage import check_leaks, strongest_input
from evergreen.metrics import Truth
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
    truth = Truth.of(test, spec=spec.examples)
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

    truth = Truth.of(leaking, spec=spec.examples)
    found = list(check_leaks(spec, train=train, test=leaking, truth=truth))[1]

    assert found.status == "failed"
    assert found.measured == f"{name} alone orders 1.0000 of all pairs"


def test_a_unique_category_is_no_leak(spec, honest):
    """Every value occurs once and so is pure; that says nothing of rows not seen."""
    unique = honest.assign(c=honest["id"].astype(str))

    truth = Truth.of(unique, spec=spec.examples)
    assert strongest_input(spec, unique, truth=truth)[1] < 0.6


def test_an_input_that_is_the_number_to_predict_is_found(spec, honest):
    label = np.random.default_rng(1).normal(size=ROWS)
    truth = Truth(problem="regression", values=label)

    assert strongest_input(spec, honest, truth=truth)[1] < 0.6
    assert strongest_input(spec, honest.assign(x=label**3), truth=truth) == ("x", 1.0)


def test_an_input_that_gives_one_of_several_classes_away_is_found(spec, honest):
    codes = np.arange(ROWS) % 3
    truth = Truth(problem="multiclass", values=codes, classes=("a", "b", "c"))

    assert strongest_input(spec, honest.assign(c="z"), truth=truth)[1] < 0.6
    leaking = honest.assign(c=np.where(codes == 2, "yes", "no"))
    assert strongest_input(spec, leaking, truth=truth) == ("c", 1.0)
