"""What a frame of examples must look like, and what of it is known at an instant. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from evergreen.data.example_types import (
    as_numbers,
    canonical_key,
    class_texts,
    in_utc,
    negative_class,
    plain,
    type_faults,
    type_of,
)
from evergreen.data.texts import as_texts
from evergreen.data.window import start_of
from evergreen.errors import CandidateError
from evergreen.spec.data import Examples
from evergreen.storage.records import digest_of
from evergreen.values import Frozen

#: More distinct values than this are not listed in a summary.
MAX_LISTED = 50
#: No label is known later than this: later instants are faults of a producer.
LAST_YEAR = 2199
LAST_INSTANT = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)


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


@dataclass(frozen=True, kw_only=True)
class CheckedRows:
    """
    Rows of a day in canonical form, and those that cannot be used, as ``prepare`` returned them.

    ``reasons`` says why, shape ``(rows left out,)``, with the index of ``left_out``. ``key_types``
    are the types of the entity key, and ``negative`` is the text of the label that is not positive.
    """

    frame: pd.DataFrame
    left_out: pd.DataFrame
    reasons: pd.Series
    key_types: dict[str, str]
    negative: str | None


def checked(frame: pd.DataFrame, *, spec: Examples, day: date) -> CheckedRows:
    """
    Return *frame* in canonical form: column order, types and row order fixed by the spec.

    Numeric inputs become float64, categorical ones text. The label becomes True or False, the text
    of its class, or float64, as the problem requires; null where it is not known yet. Instants
    become microseconds in UTC, and keys have the same type on every day. What a row becomes does
    not depend on the other rows. Rows that cannot be used are left out, within the spec's budget.

    :raises CandidateError: If ``prepare`` returned something else than the spec describes, or too
        many rows that cannot be used.
    """
    if not isinstance(frame, pd.DataFrame):
        raise CandidateError(f"prepare returned a {type(frame).__name__}, expected a DataFrame.")
    _refuse_faults(_shape_faults(frame, spec), day=day)
    ordered = [*spec.entity_key, spec.event_time, spec.known_at, spec.label, *spec.features]
    frame = frame[list(dict.fromkeys(ordered))].reset_index(drop=True)
    frame = frame.assign(**{name: plain(frame[name]) for name in frame})
    _refuse_faults(list(type_faults(frame, spec)), day=day)
    reasons = _broken_rows(frame, spec, day)
    if len(reasons) > spec.quarantine_budget * len(frame):
        _refuse_faults(_counted(reasons, frame, spec), day=day)
    rows = frame.drop(index=reasons.index)
    negative = negative_class(rows[spec.label], spec) if spec.problem == "binary" else None
    rows = rows.assign(
        **(
            {name: canonical_key(rows[name]) for name in spec.entity_key}
            | {name: in_utc(rows[name]) for name in (spec.event_time, spec.known_at)}
            | {spec.label: _label(rows[spec.label], spec)}
            | {name: as_numbers(rows[name]) for name in spec.numeric}
            | {name: as_texts(rows[name]) for name in spec.categorical}
        )
    )
    order = [spec.event_time, *spec.entity_key]
    return CheckedRows(
        frame=rows.sort_values(order, kind="stable", ignore_index=True),
        left_out=frame.loc[reasons.index],
        reasons=reasons,
        key_types={name: type_of(rows[name]) for name in spec.entity_key},
        negative=negative,
    )


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
    if spec.problem == "regression":
        return as_numbers(values)
    texts = class_texts(values, spec)
    if spec.problem == "multiclass":
        return texts
    return (texts == str(spec.positive_class)).astype("boolean").mask(texts.isna())


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


def _broken_rows(frame: pd.DataFrame, spec: Examples, day: date) -> pd.Series:
    """Return why a row cannot be used, by its place; rows without a fault are not named."""
    found = pd.Series("", index=frame.index, dtype="str")
    for what, rows in _row_faults(frame, spec, day):
        found = found.where(~rows, found.where(found == "", found + "; ") + what)
    return found[found != ""]


def _row_faults(frame: pd.DataFrame, spec: Examples, day: date) -> Iterator[tuple[str, pd.Series]]:
    """Yield each rule that is about single rows, and which of them break it."""
    event, known_at = in_utc(frame[spec.event_time]), in_utc(frame[spec.known_at])
    first, end, key = start_of(day), start_of(day) + timedelta(days=1), list(spec.entity_key)
    label_is_null = frame[spec.label].isna()
    inside = event.between(first, end, inclusive="left")
    yield f"{spec.event_time!r} outside the day", ~inside
    known_without = known_at.isna() != label_is_null
    yield f"{spec.label!r} but no {spec.known_at!r}, or the reverse", known_without
    yield f"label known before {spec.event_time!r}", known_at < event
    yield f"{spec.known_at!r} after the year {LAST_YEAR}", known_at > LAST_INSTANT
    yield f"null in the entity key {key}", frame[key].isna().any(axis=1)
    yield f"repeats the entity key {key}", frame.duplicated(subset=key)
    numbers = [*spec.numeric, *([spec.label] if spec.problem == "regression" else [])]
    for name in numbers:
        yield f"{name!r} is infinite", np.isinf(as_numbers(frame[name]))


def _counted(reasons: pd.Series, frame: pd.DataFrame, spec: Examples) -> list[str]:
    counts = reasons.str.split("; ").explode().value_counts()
    budget = f"the rows are too many to leave out, at most {spec.quarantine_budget:.2%} may be"
    return [*(f"{n} of {len(frame)} rows: {what}" for what, n in counts.items()), budget]


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
