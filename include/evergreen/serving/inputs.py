"""
Rows as a caller sends them, checked against what the model was fitted on.

Bad input is the caller's to mend, so every error names the row, the column, what was found and what
was expected.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from evergreen.spec.data import Examples

#: Columns of equally many values, by name.
Columns = Mapping[str, Sequence[Any]]
#: Trees of scikit-learn calculate in 32 bits; what does not fit there breaks them.
MAX_NUMBER = 3.4028234e38
MAX_TEXT = 1_000
MAX_ERRORS = 20
#: Years of an event, in UTC; instants near the ends of the calendar cannot be converted to UTC.
YEARS = range(1970, 2200)

#: What a column may hold. Strict: a truth value or a text is no number, a number no text.
NUMBERS = TypeAdapter(
    list[
        Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_NUMBER, le=MAX_NUMBER)]
        | None
    ]
)
TEXTS = TypeAdapter(list[Annotated[str, Field(strict=True, max_length=MAX_TEXT)] | None])
EXPECTED = {
    True: "a number within 32 bits, or null",
    False: f"a string of at most {MAX_TEXT} characters, or null",
}
EXPECTED_KEY = (
    f"a string of at most {MAX_TEXT} characters, an integer, a finite number, true, false or null"
)
EXPECTED_TIME = f"an ISO 8601 instant of the years {YEARS[0]} to {YEARS[-1]}, or null"


class InputError(Exception):
    """A request that no model can answer; ``details`` name each error."""

    def __init__(self, message: str, details: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.details = list(details)


@dataclass(frozen=True, kw_only=True)
class RequestRows:
    """
    Checked rows: inputs of the model, what names each row's entity, and when its event is.

    ``keys`` and ``event_times`` are None where the caller left them out.
    """

    inputs: Columns
    count: int
    keys: Columns | None
    event_times: Sequence[Any] | None

    @cached_property
    def entities(self) -> list[str]:
        """One text per row that is the same for the same entity, or for the same inputs."""
        columns = self.keys if self.keys is not None else self.inputs
        return ["\x1f".join(map(str, row)) for row in zip(*columns.values(), strict=True)]

    def take(self, at: Sequence[int]) -> RequestRows:
        """Return the rows at the positions *at*."""

        def some(columns: Columns) -> Columns:
            return {name: [values[n] for n in at] for name, values in columns.items()}

        return RequestRows(
            inputs=some(self.inputs),
            count=len(at),
            keys=None if self.keys is None else some(self.keys),
            event_times=None if self.event_times is None else [self.event_times[n] for n in at],
        )


def check(
    columns: Columns,
    *,
    spec: Examples,
    needed: Sequence[str],
    max_rows: int,
    booleans: frozenset[str] = frozenset(),
) -> RequestRows:
    """
    Return *columns* as rows that a model fitted on the inputs *needed* can predict.

    Null stands for an unknown value. Other inputs of the spec are let through, so that callers can
    send a new one before a model looks at it. Values are converted as the examples of training
    are: an integer of a categorical input becomes its decimal text, and a boolean of a column in
    *booleans* becomes 1.0 or 0.0, or the text True or False.

    :param booleans: Columns that the caller declared as booleans.
    :raises InputError: If a column is missing, unknown, of another length, or holds something that
        is neither of its type nor null; or if there are no rows, or too many.
    """
    count = len(next(iter(columns.values()), ()))
    if not 0 < count <= max_rows:
        raise InputError(f"found {count} rows, expected 1 to {max_rows}")
    errors = [*_shape(columns, count, spec=spec, needed=needed)]
    _refuse(errors)
    inputs: dict[str, Sequence[Any]] = {}
    for name in (name for name in spec.features if name in columns):
        is_numeric, is_boolean = name in spec.numeric, name in booleans
        inputs[name] = _as_trained(columns[name], is_numeric=is_numeric, is_boolean=is_boolean)
        errors += _values(name, inputs[name], is_numeric=is_numeric)
        if len(errors) > MAX_ERRORS:
            break
    errors += _names(columns, spec)
    _refuse(errors)
    has_keys = all(name in columns for name in spec.entity_key)
    return RequestRows(
        inputs=inputs,
        count=count,
        keys={name: columns[name] for name in spec.entity_key} if has_keys else None,
        event_times=columns.get(spec.event_time),
    )


def day_of(event_time: Any) -> date | None:
    """Return the UTC day of an instant that a caller sent, or None if it is none."""
    try:
        found = datetime.fromisoformat(event_time)
        day = (found.astimezone(UTC) if found.tzinfo else found).date()
    except (TypeError, ValueError, OverflowError):
        return None
    return day if day.year in YEARS else None


def escaped(text: str) -> str:
    r"""Return *text* with each half of a surrogate pair, which UTF-8 cannot hold, as ``\ud800``."""
    return text.encode("utf-8", "backslashreplace").decode()


def _refuse(errors: Sequence[dict[str, Any]]) -> None:
    if errors:
        raise InputError(_headline(errors), errors[:MAX_ERRORS])


def _shape(
    columns: Columns, count: int, *, spec: Examples, needed: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for name in needed:
        if name not in columns:
            yield {"column": name, "found": "nothing", "expected": "a value or null in each row"}
    known = [*spec.features, *spec.entity_key, spec.event_time]
    listed = ", ".join(dict.fromkeys(known))
    unknown = [name for name in columns if name not in known]
    for at, name in enumerate(unknown):
        # A search for each of many thousand names would hold up the other callers.
        near = difflib.get_close_matches(name[:100], known, n=1) if at < MAX_ERRORS else []
        meant = f"; did you mean {near[0]}?" if near else ""
        found = {"column": escaped(name[:MAX_TEXT]), "found": "an unknown column"}
        yield found | {"expected": f"one of {listed}{meant}"}
    for name, values in columns.items():
        if name in known and len(values) != count:
            yield {"column": name, "found": f"{len(values)} values", "expected": f"{count}"}


def _as_trained(values: Sequence[Any], *, is_numeric: bool, is_boolean: bool) -> Sequence[Any]:
    """Return *values* converted as ``evergreen.data.examples.checked`` converts a column."""
    if is_boolean:
        convert: Callable[[Any], Any] = float if is_numeric else str
        return [convert(value) if isinstance(value, bool) else value for value in values]
    if is_numeric:
        return values
    return [str(value) if _is_integer(value) else value for value in values]


def _is_integer(value: Any) -> bool:
    """Return whether *value* is an integer whose decimal text is short enough."""
    return type(value) is int and abs(value) < 10 ** (MAX_TEXT - 1)


def _values(name: str, values: Sequence[Any], *, is_numeric: bool) -> Iterator[dict[str, Any]]:
    column = NUMBERS if is_numeric else TEXTS
    try:
        # Without its result: a caller's integer stays one in the text that names an entity.
        column.validator.validate_python(values)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            yield _wrong(name, int(one["loc"][0]), values, expected=EXPECTED[is_numeric])


def _names(columns: Columns, spec: Examples) -> Iterator[dict[str, Any]]:
    """Name each value that names no entity, and each time that is none."""
    for name in (name for name in spec.entity_key if name not in spec.features):
        for row, value in enumerate(columns.get(name, ())):
            if not _is_key(value):
                yield _wrong(name, row, columns[name], expected=EXPECTED_KEY)
    for row, value in enumerate(columns.get(spec.event_time, ())):
        if value is not None and day_of(value) is None:
            yield _wrong(spec.event_time, row, columns[spec.event_time], expected=EXPECTED_TIME)


def _is_key(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and escaped(value) == value
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or _is_integer(value)


def _wrong(name: str, row: int, values: Sequence[Any], *, expected: str) -> dict[str, Any]:
    value = values[row]
    found = f"{type(value).__name__} {str(value)[:50]!r}"
    return {"row": row, "column": name, "found": found, "expected": expected}


def _headline(errors: Sequence[dict[str, Any]]) -> str:
    first = errors[0]
    where = f"row {first['row']}, " if "row" in first else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return (
        f"{where}column {first['column']}: found {first['found']}, expected "
        f"{first['expected']}{more}"
    )
