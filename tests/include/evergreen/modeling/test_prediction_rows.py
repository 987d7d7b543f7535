"""Rows of two files of predictions: what is read from them, and what is refused with a remedy."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from tests.support.predictions import CLASSES, NAMED, two_models

from evergreen.errors import ComparisonError
from evergreen.modeling.prediction_comparison import compare_predictions

Frames = tuple[pd.DataFrame, pd.DataFrame]


def compare(champion: pd.DataFrame, challenger: pd.DataFrame, problem="binary", **options):
    return compare_predictions(champion, challenger, problem=problem, **NAMED | options)


def both(**changes: object) -> Callable[[Frames], Frames]:
    return lambda frames: tuple(frame.assign(**changes) for frame in frames)


def champion(**changes: object) -> Callable[[Frames], Frames]:
    return lambda frames: (frames[0].assign(**changes), frames[1])


def challenger(**changes: object) -> Callable[[Frames], Frames]:
    return lambda frames: (frames[0], frames[1].assign(**changes))


def without(*names: str) -> Callable[[Frames], Frames]:
    return lambda frames: tuple(frame.drop(columns=list(names)) for frame in frames)


def third(frame: pd.DataFrame, name: str, value: object) -> pd.Series:
    """Column *name* with *value* in the third row."""
    values = frame[name].astype(object)
    values.iloc[2] = value
    return values


def doubled(frames: Frames, name: str) -> Frames:
    return frames[0], pd.concat([frames[1], frames[1][[name]]], axis=1)


BAD = {
    "no rows": (lambda f: (f[0].head(0), f[1]), {}, "The champion has no rows"),
    "row counts": (lambda f: (f[0], f[1].head(7)), {}, "has 600 rows and the challenger 7"),
    "no prediction": (without("prediction"), {}, "Column prediction is missing in the champion"),
    "no label": (without("label"), {}, "Column label is missing: the champion has id, day, pred"),
    "no day": (without("day"), {}, "Column day is missing"),
    "two predictions": (
        lambda f: doubled(f, "prediction"),
        {},
        "Column prediction occurs 2 times in the challenger",
    ),
    "two labels": (lambda f: doubled(f, "label"), {}, "Column label occurs 2 times"),
    "other label": (
        lambda f: (f[0], f[1].assign(label=~f[1]["label"])),
        {},
        "Column label differs in 600 of 600 rows, first in row 1 of the champion (False and True)",
    ),
    "other day": (
        lambda f: (f[0], f[1].assign(day=third(f[1], "day", pd.Timestamp("2014-01-01", tz="UTC")))),
        {},
        "Column day differs in 1 of 600 rows, first in row 3 of the champion (2013-03-03 and 2014-",
    ),
    "null label": (
        lambda f: (f[0].assign(label=third(f[0], "label", None)), f[1]),
        {},
        "Column label of the champion is null in 1 of 600 rows, first in row 3",
    ),
    "null day": (
        lambda f: (f[0], f[1].assign(day=third(f[1], "day", pd.NaT))),
        {},
        "Column day of the challenger is null in 1 of 600 rows",
    ),
    "three labels": (both(label=np.arange(600) % 3), {}, "holds 3 values (0, 1, 2); expected bool"),
    "labels 1 and 2": (both(label=1 + np.arange(600) % 2), {}, "expected booleans, or 0 and 1"),
    "texts": (both(label=["no", "yes"] * 300), {}, "Name the positive one of two values by --pos"),
    "texts 0 and 1": (both(label=["0", "1"] * 300), {}, "expected booleans, or 0 and 1"),
    "unknown positive": (
        both(label=["no", "yes"] * 300),
        {"positive": "Yes"},
        "holds 2 values (no, yes); expected two values, one of them Yes",
    ),
    "three texts": (
        both(label=["no", "yes", "maybe"] * 200),
        {"positive": "yes"},
        "holds 3 values (maybe, no, yes); expected two values, one of them yes",
    ),
    "label of dates": (both(label=dt.date(2013, 3, 1)), {}, "Column label of the champion holds d"),
    "label of lists": (champion(label=[[1]] * 600), {}, "holds values of different types"),
    "texts as predictions": (
        challenger(prediction="0.5"),
        {},
        "Column prediction of the challenger holds texts; expected numbers",
    ),
    "complex predictions": (challenger(prediction=1j), {}, "holds complex; expected numbers"),
    "day of numbers": (both(day=0.5), {}, "Column day of the champion holds numbers; expected dat"),
    "day of booleans": (both(day=True), {}, "holds booleans; expected dates"),
    "day of no date": (both(day="2013-99-01 10:00"), {}, "expected dates that can be read"),
    "label is day": (both(), {"label": "day"}, "expected two different columns beside prediction"),
    "label is prediction": (both(), {"label": "prediction"}, "expected two different columns"),
    "unknown metric": (
        both(),
        {"metric": "accuracy"},
        "The metric is accuracy; expected one of a binary problem: roc_auc, average_precision, br",
    ),
    "unknown problem": (both(), {"problem": "x"}, "expected one of binary, multiclass, regression"),
    "confidence": (
        both(),
        {"confidence": 97.5},
        "confidence is 97.5: Input should be less than or equal to 0.9999",
    ),
    "margin": (both(), {"margin": math.nan}, "margin is nan: "),
    "no probabilities": (
        champion(prediction=1.5),
        {"metric": "brier_loss"},
        "600 predictions of the champion are outside 0 to 1, such as 1.5",
    ),
    "no key": (both(), {"keys": ("x",)}, "Column x is missing in the champion"),
    "null key": (champion(id=None), {"keys": ("id",)}, "Column id of the champion is null"),
    "key of lists": (champion(id=[[1]] * 600), {"keys": ("id",)}, "Column id of the champion hol"),
    "same keys": (
        lambda f: (f[0], f[1].assign(id=third(f[1], "id", 7))),
        {"keys": ("id",)},
        "1 rows of the challenger have a key that an earlier row has, such as id 7;",
    ),
    "lost keys": (
        lambda f: (f[0], f[1].tail(-2)),
        {"keys": ("id",)},
        "2 rows of the champion have a key that the challenger does not have, such as id 0;",
    ),
    "new keys": (
        lambda f: (f[0].tail(-2), f[1]),
        {"keys": ("id", "id")},
        "2 rows of the challenger have a key that the champion does not have, such as id 0;",
    ),
    "two keys": (
        lambda f: (f[0], f[1].tail(-1)),
        {"keys": ("id", "label")},
        "does not have, such as id 0, label False;",
    ),
}


@pytest.mark.parametrize(("change", "options", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_compared_is_refused_with_the_reason(change, options, message):
    frames = change(two_models())

    with pytest.raises(ComparisonError) as refused:
        compare(*frames, **options)

    assert message in str(refused.value)


BAD_NUMBERS = {
    "infinite label": (champion(label=math.inf), {}, "is infinite in 600 rows, first in row 1"),
    "label of texts": (both(label="x"), {}, "Column label of the champion holds texts"),
    "positive": (both(), {"positive": "1"}, "--positive is for binary problems"),
    "too large": (
        challenger(prediction=pd.Series([10**400] * 600, dtype=object)),
        {},
        "expected numbers that fit a float",
    ),
}


@pytest.mark.parametrize(("change", "options", "message"), BAD_NUMBERS.values(), ids=BAD_NUMBERS)
def test_numbers_that_cannot_be_compared_are_refused(change, options, message):
    frames = change(two_models("regression"))

    with pytest.raises(ComparisonError) as refused:
        compare(*frames, "regression", **options)

    assert message in str(refused.value)


BAD_CLASSES = {
    "unknown class": (both(label="early"), "The champion has no column for the class early: it"),
    "class of a day": (both(label="day"), "The champion has no column for the class day: it"),
    "no column": (
        lambda f: (f[0], f[1].drop(columns="prediction_lost")),
        "The challenger has no column for the class lost",
    ),
    "sum": (
        challenger(prediction_lost=0.0),
        "The probabilities of the classes late, lost, on time add up to ",
    ),
    "range": (
        challenger(prediction_lost=-0.5, prediction_late=1.5),
        "600 rows of the challenger have values outside 0 to 1",
    ),
    "text": (champion(prediction_lost="x"), "Column prediction_lost of the champion holds texts"),
    "no class": (without(*(f"prediction_{name}" for name in CLASSES)), "no column for the class"),
}


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
@pytest.mark.parametrize(("change", "message"), BAD_CLASSES.values(), ids=BAD_CLASSES)
def test_classes_that_cannot_be_compared_are_refused(change, message, metric):
    frames = change(two_models("multiclass"))

    with pytest.raises(ComparisonError) as refused:
        compare(*frames, "multiclass", metric=metric)

    assert message in str(refused.value)


LABELS = {
    "0 and 1": ({False: 0, True: 1}, None),
    "floats": ({False: 0.0, True: 1.0}, None),
    "-1 and 1": ({False: -1, True: 1}, "1"),
    "texts": ({False: "no", True: "yes"}, "yes"),
    "categories": ({False: "no", True: "yes"}, "yes"),
    "booleans named": ({False: False, True: True}, "true"),
    "the other way round": ({False: "yes", True: "no"}, "no"),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_binary_label_may_be_written_in_several_ways(name):
    (written, positive), frames = LABELS[name], two_models()
    renamed = [frame.assign(label=frame["label"].map(written)) for frame in frames]
    if name == "categories":
        renamed = [frame.astype({"label": "category"}) for frame in renamed]

    assert compare(*renamed, positive=positive) == compare(*frames)


def test_labels_may_be_written_differently_in_the_two_files():
    champion, challenger = two_models()

    found = compare(champion, challenger.assign(label=challenger["label"].astype(float)))

    assert found == compare(champion, challenger)


@pytest.mark.parametrize("holder", [0, 1])
@pytest.mark.parametrize("name", ["label", "day"])
def test_label_and_day_may_be_in_one_file_only(holder, name):
    frames = two_models()
    left = [
        frame if place == holder else frame.drop(columns=name) for place, frame in enumerate(frames)
    ]

    assert compare(*left) == compare(*frames)


DAYS = {
    "instants elsewhere": lambda day: day.dt.tz_convert("Asia/Tokyo"),
    "instants without a zone": lambda day: day.dt.tz_localize(None),
    "seconds": lambda day: day.dt.tz_localize(None).astype("datetime64[s]"),
    "dates": lambda day: day.dt.date,
    "datetimes": lambda day: pd.Series(list(day.dt.to_pydatetime()), dtype=object),
    "texts": lambda day: day.dt.strftime("%Y-%m-%d"),
    "texts of instants": lambda day: day.dt.tz_convert("Asia/Tokyo").map(lambda at: at.isoformat()),
    "names": lambda day: "day " + day.dt.strftime("%j"),
    "whole numbers": lambda day: day.dt.dayofyear,
    "categories": lambda day: day.dt.strftime("%j").astype("category"),
}


@pytest.mark.parametrize("written", DAYS.values(), ids=DAYS)
def test_a_day_may_be_written_in_several_ways(written):
    frames = two_models()
    renamed = [frame.assign(day=written(frame["day"])) for frame in frames]

    assert compare(*renamed) == compare(*frames)


def test_days_are_the_same_however_the_two_files_write_them():
    champion, challenger = two_models()
    dates = challenger.assign(day=challenger["day"].dt.date)
    texts = challenger.assign(day=challenger["day"].dt.strftime("%Y-%m-%d"))

    assert compare(champion, dates) == compare(champion, texts) == compare(champion, challenger)


def test_keys_of_several_columns_and_types_match():
    champion, challenger = two_models()
    frames = [
        frame.assign(at=frame["day"], part=frame["id"] % 7) for frame in (champion, challenger)
    ]
    other = frames[1].sample(frac=1, random_state=1)
    other = other.assign(
        part=other["part"].astype(float), at=other["at"].dt.tz_convert("Asia/Tokyo")
    )

    assert compare(frames[0], other, keys=("at", "part", "id")) == compare(champion, challenger)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns={f"prediction_{name}": name for name in CLASSES})


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)])
def test_columns_of_classes_may_have_the_name_of_the_class(sides):
    frames = two_models("multiclass")
    renamed = [plain(frame) if place in sides else frame for place, frame in enumerate(frames)]

    assert compare(*renamed, "multiclass") == compare(*frames, "multiclass")


def test_a_class_that_has_no_label_is_a_class_all_the_same():
    frames = [frame[frame["label"] != "lost"] for frame in two_models("multiclass")]

    found = compare(*map(plain, frames), "multiclass")

    assert found == compare(*frames, "multiclass")
    assert found.rows == 400


def test_a_label_is_no_class_whatever_its_column_is_called():
    frames = two_models("multiclass")
    renamed = [frame.rename(columns={"label": "prediction_label"}) for frame in frames]

    found = compare(*renamed, "multiclass", label="prediction_label")

    assert found == compare(*frames, "multiclass")


@pytest.mark.parametrize("classes", [3, 2])
def test_numbers_are_classes_too(classes):
    """With two classes among the labels, the column of labels looks like a probability itself."""
    frames = two_models("multiclass")
    frames = [frame[frame["label"].isin(CLASSES[:classes])] for frame in frames]
    numbered = [
        frame.rename(columns={f"prediction_{name}": str(n) for n, name in enumerate(CLASSES)})
        for frame in (frame.assign(label=frame["label"].map(CLASSES.index)) for frame in frames)
    ]

    assert compare(*numbered, "multiclass") == compare(*frames, "multiclass")


def test_rounded_probabilities_are_shares_of_their_sum():
    frames = two_models("multiclass")
    names = [f"prediction_{name}" for name in CLASSES]
    rounded = [frame.assign(**frame[names].round(3)) for frame in frames]
    shares = [
        frame.assign(**frame[names].div(frame[names].sum(axis=1), axis=0)) for frame in rounded
    ]

    found = compare(*rounded, "multiclass", metric="brier_loss")

    assert found.gain == pytest.approx(compare(*shares, "multiclass", metric="brier_loss").gain)
