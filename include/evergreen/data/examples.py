"""What a frame of examples must look like, and what of it is known at an instant. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from evergreen.data.window import start_of
from evergreen.errors import CandidateError
from evergreen.spec.data import Examples
from evergreen.storage.records import digest_of
from evergreen.values import Frozen

#: More distinct values than this are not listed in a summary.
MAX_LISTED = 50


class Labelled(Frozen):
    """Rows whose label is known: how many, how many per class, and a digest of their content."""

    rows: int
    classes: dict[str, int]
    digest: str
    newest_known_at: datetime | None


class ColumnSummary(Frozen):
    """Enough of one input on one day to see, over many days, that it is null or constant."""

    rows: int
    nulls: int
    values: tuple[str, ...] | None


def checked(frame: pd.DataFrame, *, spec: Examples, day: date) -> pd.DataFrame:
    """
    Return *frame* in canonical form: column order, types and row order fixed by the spec.

    Numeric inputs become float64, categorical ones text. The label becomes True or False, the text
    of its class, or float64, as the problem requires; null where it is not known yet.

    :raises CandidateError: If ``prepare`` returned something else than the spec describes.
    """
    if not isinstance(frame, pd.DataFrame):
        raise CandidateError(f"prepare returned a {type(frame).__name__}, expected a DataFrame.")
    _refuse_faults(_shape_faults(frame, spec), day=day)
    ordered = [*spec.entity_key, spec.event_time, spec.known_at, spec.label, *spec.features]
    frame = frame[list(dict.fromkeys(ordered))].reset_index(drop=True)
    _refuse_faults(_row_faults(frame, spec, day), day=day)
    frame = frame.assign(
        **{
            spec.label: _label(frame[spec.label], spec),
            **{name: frame[name].astype("float64") for name in spec.numeric},
            **{name: frame[name].astype("str") for name in spec.categorical},
        }
    )
    return frame.sort_values([spec.event_time, *spec.entity_key], kind="stable", ignore_index=True)


def known(frame: pd.DataFrame, *, spec: Examples, as_of: datetime) -> pd.DataFrame:
    """Return the rows that had happened before *as_of* and whose label was known by then."""
    visible = (frame[spec.event_time] < as_of) & (frame[spec.known_at] <= as_of)
    rows = frame[visible & frame[spec.label].notna()]
    return _with_whole_labels(rows, spec).reset_index(drop=True)


def labelled(frame: pd.DataFrame, *, spec: Examples) -> Labelled:
    """Describe the labelled rows of *frame*."""
    rows = _with_whole_labels(frame[frame[spec.label].notna()], spec)
    content = pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
    newest = rows[spec.known_at].max().ceil("us") if len(rows) else None
    counts = {} if spec.problem == "regression" else rows[spec.label].value_counts().to_dict()
    return Labelled(
        rows=len(rows),
        classes={str(name): int(count) for name, count in sorted(counts.items(), key=str)},
        digest=digest_of(" ".join(rows.columns), content),
        newest_known_at=newest,
    )


def summarise(frame: pd.DataFrame, *, spec: Examples) -> dict[str, ColumnSummary]:
    """Summarise every input of *frame*."""
    found = {}
    for name in spec.features:
        values = sorted(str(v) for v in frame[name].dropna().unique()[: MAX_LISTED + 1])
        found[name] = ColumnSummary(
            rows=len(frame),
            nulls=int(frame[name].isna().sum()),
            values=tuple(values) if len(values) <= MAX_LISTED else None,
        )
    return found


def explain_useless(
    name: str, days: Sequence[ColumnSummary], *, is_personal: bool = False
) -> list[str]:
    """
    Say why an input carries nothing over *days*: no value at all, or one value only.

    :param is_personal: Whether the value must not be named.
    """
    rows, nulls = sum(d.rows for d in days), sum(d.nulls for d in days)
    if nulls == rows:
        return [f"input {name!r}: null in all {rows} training rows"]
    if all(d.values is not None for d in days):
        distinct = {value for d in days for value in d.values or ()}
        if len(distinct) == 1 and nulls == 0:
            value = "" if is_personal else f" {distinct.pop()}"
            return [f"input {name!r}: constant{value} in all {rows} training rows"]
    return []


def _label(values: pd.Series, spec: Examples) -> pd.Series:
    if spec.problem == "binary":
        return (values == spec.positive_class).astype("boolean").mask(values.isna())
    return values.astype("float64" if spec.problem == "regression" else "str")


def _with_whole_labels(rows: pd.DataFrame, spec: Examples) -> pd.DataFrame:
    """Return *rows*, none of which lacks its label, with True and False free of null."""
    if spec.problem != "binary":
        return rows
    return rows.assign(**{spec.label: rows[spec.label].astype(bool)})


def _shape_faults(frame: pd.DataFrame, spec: Examples) -> list[str]:
    expected = {*spec.entity_key, spec.event_time, spec.known_at, spec.label, *spec.features}
    errors = [f"column {name!r} is missing" for name in sorted(expected - set(frame.columns))]
    errors += [
        f"column {name!r} is not in the spec; add it to examples.numeric or examples.categorical, "
        "or drop it"
        for name in sorted(set(map(str, frame.columns)) - expected)
    ]
    if not frame.columns.is_unique:
        errors.append(f"columns repeat: {sorted(frame.columns[frame.columns.duplicated()])}")
    return errors


def _row_faults(frame: pd.DataFrame, spec: Examples, day: date) -> list[str]:
    """Return what is wrong with types; with the right types, what is wrong with rows."""
    return list(_type_faults(frame, spec)) or [
        f"{count} of {len(frame)} {what}"
        for what, count in _broken_rows(frame, spec, day).items()
        if count
    ]


def _type_faults(frame: pd.DataFrame, spec: Examples) -> Iterator[str]:
    for name in (spec.event_time, spec.known_at):
        if not isinstance(frame[name].dtype, pd.DatetimeTZDtype):
            yield f"{name!r} has type {frame[name].dtype}, expected datetime with UTC"
    numbers = [*spec.numeric, *([spec.label] if spec.problem == "regression" else [])]
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            yield f"{name!r} has type {frame[name].dtype}, expected a number"
        elif np.isinf(frame[name].astype("float64")).any():
            yield f"{name!r} holds infinite values"


def _broken_rows(frame: pd.DataFrame, spec: Examples, day: date) -> dict[str, int]:
    event, known_at, label = frame[spec.event_time], frame[spec.known_at], frame[spec.label]
    first, end, key = start_of(day), start_of(day) + timedelta(days=1), list(spec.entity_key)
    found = {
        f"rows with {spec.event_time!r} outside the day": ~event.between(
            first, end, inclusive="left"
        ),
        f"rows with {spec.label!r} but no {spec.known_at!r}, or the reverse": known_at.isna()
        != label.isna(),
        f"rows whose label was known before {spec.event_time!r}": known_at < event,
        f"rows with a null in the entity key {key}": frame[key].isna().any(axis=1),
        f"rows that repeat the entity key {key}": frame.duplicated(subset=key),
    }
    return {what: int(rows.sum()) for what, rows in found.items()}


def _refuse_faults(errors: list[str], *, day: date) -> None:
    if errors:
        raise CandidateError(
            "\n".join(
                [
                    f"prepare returned examples for {day} that cannot be used:",
                    *(f"  {error}" for error in errors),
                    "Nothing was stored. Change prepare.py or examples in model.yaml.",
                ]
            )
        )
