"""Put what pydantic finds wrong with a spec into plain words."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from evergreen.spec.formatting import VALUE_CHARS, Fault, shortened, shown
from evergreen.spec.reading import Lines

#: Problems of one file that are listed; more would hide the first.
MAX_ERRORS = 10

_LIST = "a list, for example [{example}]"
_MAPPING = "keys with values, for example {{key: value}}"
_INTEGER = "a whole number (integer), for example 7"
_NUMBER = "a number, for example 0.5"
#: What is expected, by pydantic's type of the error; filled in with its context.
_EXPECTED = {
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "string_type": "text; put it in quotes",
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "int_parsing_size": "a whole number (integer) of fewer digits",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "literal_error": "one of {expected}",
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "too_short": "at least {min_length} of them, found {actual_length}",
    "too_long": "at most {max_length} of them, found {actual_length}",
    "missing_argument": "one value more",
    "unexpected_positional_argument": "one value less",
    "none_required": "nothing",
    "string_unicode": "text that UTF-8 can hold",
}


def explain(errors: list[ErrorDetails], lines: Lines, model: type[BaseModel]) -> list[Fault]:
    """Return the faults of a spec that is a *model*, in the order they were found."""
    problems: dict[tuple[int | str, ...], Fault] = {}
    for error in errors:
        at = _at(error, lines)
        problem = Fault(_text(error, at, model), at, _line(at, lines))
        known = problems.setdefault(at, problem)
        if problem.text != known.text:  # a value may have more than one type, and is none of them
            known.text = f"{known.text.rstrip('.')}; or {problem.text.rpartition('; expected ')[2]}"
    found = list(problems.values())
    if len(found) > MAX_ERRORS:
        more = Fault(f"{len(found) - MAX_ERRORS} more faults; correct these first")
        return [*found[:MAX_ERRORS], more]
    return found


def _at(error: ErrorDetails, lines: Lines) -> tuple[int | str, ...]:
    """Return the keys as the file has them: pydantic adds names of types."""
    at: tuple[int | str, ...] = ()
    *before, last = error["loc"] or ("",)
    for part in before:
        if (*at, part) in lines:
            at = (*at, part)
    is_named = error["type"] in ("missing", "extra_forbidden")
    return (*at, last) if is_named or (*at, last) in lines else at


def _line(at: tuple[int | str, ...], lines: Lines) -> int | None:
    for length in range(len(at), -1, -1):
        if at[:length] in lines:
            return lines[at[:length]]
    return None


def _text(error: ErrorDetails, at: tuple[int | str, ...], model: type[BaseModel]) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key{_remedy(at, model)}"
    if kind == "missing":
        return "missing; add it."
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    expected = _EXPECTED.get(kind, "another value")
    example = value if isinstance(value, int | float | str) else "name"
    context = {"example": shortened(str(example), VALUE_CHARS)} | error.get("ctx", {})
    if context.get("actual_length") is None and hasattr(value, "__len__"):
        context["actual_length"] = len(value)
    return f"found {shown(value)}; expected {expected.format_map(context)}"


def _remedy(at: tuple[int | str, ...], model: type[BaseModel]) -> str:
    known = sorted(_fields_at(at[:-1], model))
    close = difflib.get_close_matches(str(at[-1])[:VALUE_CHARS], known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}." if known else "; remove it."


def _fields_at(at: tuple[int | str, ...], model: type[BaseModel]) -> set[str]:
    """Return the keys that *model* knows at the place *at*, by walking its JSON Schema."""
    root = _schema(model)
    here = root
    for part in at:
        here = _resolve(here, root)
        here = here.get("properties", {}).get(part) or here.get("additionalProperties") or {}
    return set(_resolve(here, root).get("properties", {}))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    for choice in schema.get("anyOf", [schema]):
        if "$ref" in choice:
            found: dict[str, Any] = root["$defs"][choice["$ref"].rpartition("/")[2]]
            return found
    return schema
