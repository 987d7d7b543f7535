"""
Rows as a caller sends them, checked against what the model was fitted on.

Bad input is the caller's to mend, so every error names the row, the column, what was found and what
was expected.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


def check(columns: Columns, *, spec: Examples, needed: Sequence[str], max_rows: int) -> RequestRows:
    """
    Return *columns* as rows that a model fitted on the inputs *needed* can predict.

    Null stands for an unknown value. Other inputs of the spec are let through, so that callers can
    send a new one before a model looks at it.

    :raises InputError: If a column is missing, unknown, of another length, or holds something that
        is neither of its type nor null; or if there are no rows, or too many.
    """
    count = len(next(iter(columns.values()), ()))
    if not 0 < count <= max_rows:
        raise InputError(f"found {count} rows, expected 1 to {max_rows}")
    errors = [*_shape(columns, count, spec=spec, needed=needed)]
    known = [name for name in spec.features if name in columns]
    if not errors:
        for name in known:
            errors += _values(name, columns[name], is_numeric=name in spec.numeric)
            if len(errors) > MAX_ERRORS:
                break
    if errors:
        raise InputError(_headline(errors), errors[:MAX_ERRORS])
    has_keys = all(name in columns for name in spec.entity_key)
    return RequestRows(
        inputs={name: columns[name] for name in known},
        count=count,
        keys={name: columns[name] for name in spec.entity_key} if has_keys else None,
        event_times=columns.get(spec.event_time),
    )


def _shape(
    columns: Columns, count: int, *, spec: Examples, needed: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for name in needed:
        if name not in columns:
            yield {"column": name, "found": "nothing", "expected": "a value or null in each row"}
    known = [*spec.features, *spec.entity_key, spec.event_time]
    for name, values in columns.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            expected = f"one of {', '.join(dict.fromkeys(known))}{meant}"
            yield {"column": name[:MAX_TEXT], "found": "an unknown column", "expected": expected}
        elif len(values) != count:
            yield {"column": name, "found": f"{len(values)} values", "expected": f"{count}"}


def _values(name: str, values: Sequence[Any], *, is_numeric: bool) -> Iterator[dict[str, Any]]:
    column = NUMBERS if is_numeric else TEXTS
    try:
        # Without its result: a caller's integer stays one in the text that names an entity.
        column.validator.validate_python(values)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            row = int(one["loc"][0])
            found = f"{type(values[row]).__name__} {str(values[row])[:50]!r}"
            yield {"row": row, "column": name, "found": found, "expected": EXPECTED[is_numeric]}


def _headline(errors: Sequence[dict[str, Any]]) -> str:
    first = errors[0]
    where = f"row {first['row']}, " if "row" in first else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return (
        f"{where}column {first['column']}: found {first['found']}, expected "
        f"{first['expected']}{more}"
    )
