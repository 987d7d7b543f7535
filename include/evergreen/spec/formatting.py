"""How an error of a spec is put into words, whatever was found."""

from __future__ import annotations

import re
from datetime import date

#: Characters of one shown value, and of one whole error.
VALUE_CHARS = 60
ERROR_CHARS = 600
#: Elements of a list or mapping that are shown.
ELEMENTS = 5

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Fault(Exception):  # noqa: N818 - it becomes a SpecError, which has the file's name too
    """
    What is wrong in one place of a spec.

    :param at: Keys from the top of the file to the place.
    :param line: The line of the place, from 1; None if it has none.
    """

    def __init__(self, text: str, at: tuple[int | str, ...] = (), line: int | None = None) -> None:
        super().__init__(text)
        self.text, self.at, self.line = text, at, line

    def __str__(self) -> str:
        key = ".".join(shortened(str(part), VALUE_CHARS) for part in self.at) or "(whole file)"
        text = shortened(self.text, ERROR_CHARS)
        end = "" if text[-1] in ".?" else "."
        return f"{key}: {text}{end}" + (f" See line {self.line}." if self.line else "")


def printable(text: str) -> str:
    """Return *text* without characters that no log or page can show."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def shortened(text: str, most: int) -> str:
    """Return *text* with at most about *most* characters: begin and end of it, for both tell."""
    text = printable(text)
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]} [...] {text[-most // 3 :]}"


def shown(value: object) -> str:
    """Return *value* as YAML would show it, shortened."""
    return shortened(_shown(value, depth=2), 3 * VALUE_CHARS)


def _shown(value: object, *, depth: int) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | dict) and depth == 0:
        return "..."
    if isinstance(value, list | tuple):
        return f"[{_some([_shown(one, depth=depth - 1) for one in value[:ELEMENTS]], len(value))}]"
    if isinstance(value, dict):
        first = list(value.items())[:ELEMENTS]
        keys = [shortened(str(key), VALUE_CHARS) for key, _ in first]
        values = [_shown(one, depth=depth - 1) for _, one in first]
        pairs = [f"{key}: {one}" for key, one in zip(keys, values, strict=True)]
        return f"{{{_some(pairs, len(value))}}}"
    if isinstance(value, str):
        return repr(shortened(value, VALUE_CHARS))
    return shortened(str(value), VALUE_CHARS)


def _some(parts: list[str], count: int) -> str:
    more = [f"and {count - len(parts)} more"] if count > len(parts) else []
    return ", ".join([*parts, *more])
