"""Anybody's predictions are held against the rule of the champion gate, with its words."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.predictions import NAMED, two_models

from evergreen.errors import ComparisonError
from evergreen.modeling.gate_inputs import GateInputs, ModelScores
from evergreen.modeling.gates import GATES
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.prediction_comparison import Comparison, compare_predictions
from evergreen.spec.data import Examples
from evergreen.spec.metrics import METRIC_DEFINITIONS, metrics_of
from evergreen.spec.modeling import ChampionGate, Gates

PROBLEMS = ("binary", "multiclass", "regression")
EVERY_METRIC = [(problem, metric) for problem in PROBLEMS for metric in metrics_of(problem)]


def compare(
    champion: pd.DataFrame, challenger: pd.DataFrame, problem: str = "binary", **options
) -> Comparison:
    return compare_predictions(champion, challenger, problem=problem, **NAMED | options)


@pytest.mark.parametrize(("problem", "metric"), EVERY_METRIC)
def test_a_better_challenger_is_promoted_and_a_worse_one_is_held(problem, metric):
    poor, good = two_models(problem)

    better = compare(poor, good, problem, metric=metric)
    worse = compare(good, poor, problem, metric=metric)

    assert (better.verdict, worse.verdict) == ("promote", "hold")
    assert better.lower_bound > 0 > worse.gain
    assert (better.rows, better.days, better.metric) == (600, 10, metric)


def test_equal_models_are_held_with_the_words_of_the_gate():
    found = compare(*two_models(noise=(1.0, 1.0)))

    assert found.verdict == "hold"
    assert found.reason == (
        f"roc_auc over the champion: {found.gain:+.4f}, lower bound {found.lower_bound:+.4f} from "
        "10 days; required: lower bound at 97.5% > 0"
    )


def test_the_same_predictions_are_held():
    champion, _ = two_models()

    found = compare(champion, champion)

    assert (found.verdict, found.gain, found.lower_bound) == ("hold", 0, 0)


def test_the_margin_and_the_confidence_are_those_of_the_gate():
    frames = two_models()
    plain = compare(*frames)

    assert compare(*frames, margin=plain.lower_bound).verdict == "hold"
    assert compare(*frames, confidence=0.9).lower_bound > plain.lower_bound
    assert "lower bound at 90.0% > 0.01" in compare(*frames, confidence=0.9, margin=0.01).reason


def test_the_json_has_exactly_the_documented_keys():
    champion, challenger = two_models()
    champion["prediction"] = math.nan

    found = json.loads(compare(champion, challenger).summary_json())

    assert list(found) == ["verdict", "metric", "gain", "lower_bound", "rows", "days", "reason"]
    assert (found["gain"], found["lower_bound"]) == (None, None)


def test_the_text_has_the_verdict_first_and_then_the_check():
    found = compare(*two_models())
    verdict, check, empty, header, *table = found.text().splitlines()

    assert verdict == "PROMOTE  600 rows, 10 days"
    assert check == found.reason
    assert empty == ""
    assert header.split() == ["challenger", "champion"]
    assert [line.split()[0] for line in table] == list(metrics_of("binary"))
    assert table[0].split()[1:] == [
        f"{found.metrics[name]['roc_auc']:.4f}" for name in ("challenger", "champion")
    ]


def test_the_text_names_why_nothing_was_measured():
    champion, challenger = two_models(days=1)

    lines = compare(champion, challenger).text().splitlines()

    assert lines[0] == "HOLD  600 rows, 1 days"
    assert "lower bound +nan from 1 days" in lines[1]
    assert lines[2] == "Not measured: all rows are of one day. Compare at least two days."


def test_scores_that_are_no_probabilities_decide_by_their_order_only():
    champion, challenger = two_models()
    scaled = [frame.assign(prediction=10 * frame["prediction"]) for frame in (champion, challenger)]

    found = compare(*scaled)

    assert found.gain == pytest.approx(compare(champion, challenger).gain)
    assert found.metrics["champion"]["brier_loss"] is None
    assert "not measured" in found.text()
    with pytest.raises(ComparisonError, match="log_loss needs probabilities"):
        compare(*scaled, metric="log_loss")


def first(values: pd.Series, replaced: object, rows: int = 3) -> np.ndarray:
    found = values.to_numpy(dtype=float, copy=True)
    found[:rows] = replaced
    return found


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("side", ["champion", "challenger"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_predictions_that_are_not_finite_are_counted_and_held(problem, side, bad):
    frames = dict(zip(("champion", "challenger"), two_models(problem), strict=True))
    name = next(column for column in frames[side] if column.startswith("prediction"))
    frames[side] = frames[side].assign(**{name: first(frames[side][name], bad)})

    found = compare(**frames, problem=problem)

    assert (found.verdict, found.gain, found.lower_bound) == ("hold", None, None)
    assert found.reason.startswith(f"Not measured: 3 of 600 predictions of the {side} are null")
    assert set(found.metrics[side].values()) == {None}


@pytest.mark.parametrize("metric", metrics_of("binary"))
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"day": "2013-03-01"}, "all rows are of one day"),
        ({"label": True}, "all 600 rows have the same label"),
        ({"label": False}, "all 600 rows have the same label"),
    ],
)
def test_what_could_not_be_measured_has_not_passed(metric, changes, reason):
    champion, challenger = (frame.assign(**changes) for frame in two_models())

    found = compare(champion, challenger, metric=metric)

    assert (found.verdict, found.lower_bound) == ("hold", None)
    assert reason in found.reason


@pytest.mark.parametrize("metric", metrics_of("binary"))
def test_a_class_on_one_day_only_is_not_measured(metric):
    champion, challenger = (
        frame.assign(label=frame["label"] & (np.arange(600) % 10 == 3)) for frame in two_models()
    )

    found = compare(champion, challenger, metric=metric)

    assert (found.verdict, found.lower_bound) == ("hold", None)
    assert "without one of the days the rows have too few classes" in found.reason


def test_numbers_that_are_all_alike_or_overflow_are_not_measured():
    champion, challenger = two_models("regression")
    huge = challenger.assign(prediction=challenger["prediction"] * 1e300)
    alike = [frame.assign(label=3.0) for frame in (champion, challenger)]

    for frames in (alike, (huge, huge.assign(prediction=-huge["prediction"]))):
        found = compare(*frames, problem="regression", metric="root_mean_squared_error")

        assert found.verdict == "hold"
        assert found.lower_bound is None


def contest(problem: str, champion: pd.DataFrame, challenger: pd.DataFrame) -> GateInputs:
    """The same data as the gates of a run see them; what the champion gate does not use is None."""
    examples = Examples(
        entity_key=("id",), label="label", problem=problem, numeric=("x",), event_time="day"
    )
    unused = dict.fromkeys(("train", "trivial", "linear", "artifact_bytes", "shuffled"))
    return GateInputs(
        test=champion,
        truth=Labels.of(champion, spec=examples),
        challenger=ModelScores(predictions=predictions_in(challenger), metrics={}),
        champion=ModelScores(predictions=predictions_in(champion), metrics={}),
        importances=(),
        **unused,
    )


def predictions_in(frame: pd.DataFrame) -> Predictions:
    found = frame.filter(like="prediction").to_numpy()
    return found[:, 0] if found.shape[1] == 1 else found


@pytest.mark.parametrize(("problem", "metric"), EVERY_METRIC)
@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10_000),
    days=st.integers(1, 9),
    better=st.floats(0.5, 2),
    margin=st.sampled_from([0.0, 0.01]),
)
def test_the_check_is_the_one_of_the_gate(spec, problem, metric, seed, days, better, margin):
    champion, challenger = two_models(problem, rows=120, days=days, seed=seed, noise=(1, better))
    rule = ChampionGate(margin=margin)
    examples = spec.examples.model_copy(update={"problem": problem, "event_time": "day"})
    asked = spec.model_copy(
        update={"examples": examples, "gates": Gates(metric=metric, champion=rule)}
    )

    found = compare(champion, challenger, problem, metric=metric, margin=margin)

    assert [found.check] == list(GATES["champion"](asked, contest(problem, champion, challenger)))


DIFFERENCES = [
    (problem, metric)
    for problem, metric in EVERY_METRIC
    if not METRIC_DEFINITIONS[metric].in_label_units
]


@pytest.mark.parametrize(("problem", "metric"), DIFFERENCES)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), days=st.integers(1, 6))
def test_swapped_files_have_the_negative_gain(problem, metric, seed, days):
    one, other = two_models(problem, rows=90, days=days, seed=seed, noise=(1.0, 1.1))

    found = compare(one, other, problem, metric=metric)
    swapped = compare(other, one, problem, metric=metric)

    assert swapped.gain == pytest.approx(-found.gain, abs=1e-12)
    assert "promote" not in (found.verdict, swapped.verdict) or found.verdict != swapped.verdict


@pytest.mark.parametrize("problem", PROBLEMS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), own_day=st.booleans())
def test_with_a_key_the_order_of_rows_does_not_matter(problem, seed, own_day):
    champion, challenger = two_models(problem, rows=90, days=5, seed=seed)
    mixed = challenger.sample(frac=1, random_state=seed)
    if own_day:
        mixed = mixed.drop(columns=["day", "label"])

    found = compare(champion, mixed, problem, keys=("id",))
    reversed_ = compare(champion[::-1], mixed, problem, keys=("id",))

    plain = compare(champion, challenger, problem)
    assert found == plain
    assert reversed_.gain == pytest.approx(plain.gain, abs=1e-9)
    assert reversed_.lower_bound == pytest.approx(plain.lower_bound, abs=1e-9)


@pytest.mark.parametrize("problem", PROBLEMS)
@settings(deadline=None, max_examples=15)
@given(
    value=st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.lists(st.integers())),
    sides=st.sampled_from([(0,), (1,), (0, 1)]),
)
def test_a_further_column_changes_nothing(problem, value, sides):
    frames = list(two_models(problem, rows=60, days=4))
    expected = compare(*frames, problem)
    for side in sides:
        frames[side]["constant"] = [value] * 60

    assert compare(*frames, problem) == expected


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["a", "b", "yes", "2013-01-01", "2013-01-01T10:00", "2013-99-01 10:00"]),
    st.decimals(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.timedeltas(),
    st.binary(max_size=2),
    st.lists(st.integers(), max_size=2),
    st.complex_numbers(),
)
DTYPES = (
    "bool",
    "int64",
    "float32",
    "float64",
    "str",
    "category",
    "Int64",
    "boolean",
    "datetime64[s]",
    "datetime64[ns, Europe/Berlin]",
    "timedelta64[ns]",
    "complex128",
    "int8[pyarrow]",
    "string[pyarrow]",
    "date32[pyarrow]",
    "timestamp[us][pyarrow]",
    "Sparse[float64]",
)
SIMPLE = st.sampled_from(
    [
        [0, 1],
        [True, False],
        [0.2, 0.7],
        [0.0, 1.0],
        [math.nan, 0.5],
        ["a", "b"],
        [dt.date(2013, 1, 1), dt.date(2013, 1, 2)],
        [None, None],
        [Decimal("0.1"), Decimal("0.9")],
    ]
)


@st.composite
def columns(draw, rows: int) -> pd.Series:
    """One column of one simple kind, or of anything at all."""
    cells = st.sampled_from(draw(SIMPLE)) if draw(st.booleans()) else CELLS
    return pd.Series(draw(st.lists(cells, min_size=rows, max_size=rows)), dtype=object)


def as_type(values: pd.Series, dtype: str) -> pd.Series:
    """Return *values* as *dtype*, or as they are where not every value has it."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return values.infer_objects() if dtype == "inferred" else values.astype(dtype)
    return values


@st.composite
def changed(draw, frame: pd.DataFrame) -> pd.DataFrame:
    """A good frame after up to three changes, each of which may make it useless."""
    for _ in range(draw(st.integers(0, 3))):
        frame = draw(changed_once(frame)) if len(frame.columns) else frame
    return frame


@st.composite
def changed_once(draw, frame: pd.DataFrame) -> pd.DataFrame:
    names, rows = list(frame.columns), len(frame)
    parts = [frame.iloc[:, place].reset_index(drop=True) for place in range(len(names))]
    place = draw(st.integers(0, len(names) - 1))
    match draw(st.sampled_from(["type", "type", "replace", "drop", "twice", "rename", "cut"])):
        case "type":
            parts[place] = as_type(parts[place], draw(st.sampled_from(DTYPES)))
        case "replace":
            dtype = draw(st.sampled_from(["inferred", *DTYPES]))
            parts[place] = as_type(draw(columns(rows)), dtype)
        case "drop":
            del parts[place], names[place]
        case "twice":
            parts, names = [*parts, parts[place]], [*names, names[place]]
        case "rename":
            names[place] = draw(st.sampled_from(["label", "late", "prediction_late", 7]))
        case "cut":
            rows = draw(st.integers(0, rows))
    made = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(rows))
    return made.set_axis(names, axis=1).head(rows)


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(data=st.data(), problem=st.sampled_from(PROBLEMS))
def test_any_frames_give_a_comparison_or_the_documented_error(data, problem):
    champion, challenger = (
        data.draw(changed(frame)) for frame in two_models(problem, rows=12, days=3)
    )
    options = {
        "metric": data.draw(st.sampled_from(metrics_of(problem))),
        "keys": data.draw(st.sampled_from([(), ("id",), ("id", "day")])),
        "positive": data.draw(st.sampled_from([None, None, "1", "true"])),
    }

    with contextlib.suppress(ComparisonError):
        found = compare(champion, challenger, problem, **options)

        assert found.rows == len(champion)
        assert json.loads(found.summary_json())["verdict"] == found.verdict
        assert found.verdict == "hold" or found.lower_bound > 0
