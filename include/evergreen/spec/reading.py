"""
Read one YAML file that may hold anything, in bounded time and memory.

What PyYAML would build is counted before it is built, and each scalar is built on its own, so that
every error has a key and a line.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from evergreen.spec.formatting import Fault, shown

#: A spec of two thousand described columns has 100 KiB.
MAX_KIB = 256
#: Lists and mappings within each other; a spec needs seven.
MAX_DEPTH = 20
#: Values, each alias counted with all that it stands for; two thousand columns are 15,000 values.
MAX_VALUES = 50_000
#: Python refuses to print an integer of more than 4,300 digits, and no setting needs 50.
MAX_DIGITS = 50

#: Keys from the top of the file to a value, and the line that it begins in.
Lines = dict[tuple[int | str, ...], int]

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_KINDS = {
    f"{_TAG}null": "nothing",
    f"{_TAG}bool": "true or false",
    f"{_TAG}int": "a number",
    f"{_TAG}float": "a number",
    f"{_TAG}timestamp": "a date",
    f"{_TAG}str": "text",
    f"{_TAG}value": "text",
}


def read_text(path: Path) -> str:
    """
    Return the text of *path*.

    :raises Fault: If it is no file, too large, or not UTF-8.
    :raises OSError: If it cannot be read.
    """
    # Without O_NONBLOCK, opening a named pipe waits for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Fault("found a folder or a device; expected a YAML file. Replace it by a file")
        data = _first_bytes(handle, MAX_KIB * 1024 + 1)
    finally:
        os.close(handle)
    if len(data) > MAX_KIB * 1024:
        raise Fault(
            f"found more than {MAX_KIB} KiB; expected at most that much. A spec holds settings and "
            "no data: put lists of values into the code of the model"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Fault(
            f"found the byte 0x{data[error.start]:02x}; expected text in UTF-8. Save the file as "
            "UTF-8",
            line=line,
        ) from None


def _first_bytes(handle: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count and (part := os.read(handle, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def parse(text: str) -> tuple[Any, Lines]:
    """
    Return the content of a YAML document, and where each value of it stands.

    :raises Fault: If it is not valid YAML, too large once aliases are followed, has a key that is
        given twice or is not text, or a value that is not text, number, date, list or mapping.
    """
    loader = yaml.CSafeLoader(text)
    try:
        _refuse_large(text)
        node = loader.get_single_node()
        builder = _Builder(loader)
        content = None if node is None else builder.build(node, ())
    except yaml.YAMLError as error:
        raise _explained(error) from error
    finally:
        loader.dispose()
    return content, builder.lines


def _refuse_large(text: str) -> None:
    """Count before anything is built: PyYAML builds by recursion."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
        if depth > MAX_DEPTH or values > MAX_VALUES:
            raise _too_large((), _line_of(event), is_deep=depth > MAX_DEPTH)


def _line_of(part: yaml.Event | yaml.Node) -> int:
    mark = part.start_mark
    return mark.line + 1 if mark else 1


def _too_large(at: tuple[int | str, ...], line: int, *, is_deep: bool) -> Fault:
    if is_deep:
        text = f"found more than {MAX_DEPTH} lists or mappings within each other"
    else:
        text = f"found more than {MAX_VALUES:,} values, each alias counted with all it stands for"
    return Fault(f"{text}; expected a spec. Write fewer values and no nested aliases", at, line)


def _explained(error: yaml.YAMLError) -> Fault:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        detail = ", ".join(part for part in (error.problem, error.context) if part)
        line = mark.line + 1 if mark else None
    else:
        detail, line = str(getattr(error, "reason", "")) or "it cannot be read", None
    return Fault(
        f"is not valid YAML: {detail}. Correct it, or put the text there in quotes", (), line
    )


class _Builder:
    """Build values from nodes, and count them."""

    def __init__(self, loader: yaml.CSafeLoader) -> None:
        self.loader, self.count = loader, 0
        self.lines: Lines = {}

    def build(self, node: yaml.Node, at: tuple[int | str, ...]) -> Any:
        """Return the value of *node*, which the keys *at* lead to."""
        line = _line_of(node)
        self.lines.setdefault(at, line)
        self.count += 1
        if len(at) > MAX_DEPTH or self.count > MAX_VALUES:
            raise _too_large(at, line, is_deep=len(at) > MAX_DEPTH)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at, line)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.build(child, (*at, n)) for n, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, at)
        raise _strange_tag(node.tag, at, line)

    def _scalar(self, node: yaml.ScalarNode, at: tuple[int | str, ...], line: int) -> Any:
        kind = _KINDS.get(node.tag)
        if kind is None:
            raise _strange_tag(node.tag, at, line)
        if kind == "text":
            if bad := _CONTROL.search(node.value):
                raise Fault(
                    f"found the control character U+{ord(bad[0]):04X} in a text; remove it",
                    at,
                    line,
                )
            return node.value
        if len(node.value) > MAX_DIGITS:
            raise Fault(
                f"found {kind} of {len(node.value)} characters; expected at most {MAX_DIGITS}. "
                "If it is text, put it in quotes",
                at,
                line,
            )
        try:
            return self.loader.construct_object(node)
        except Exception:  # noqa: BLE001 - ValueError, KeyError, AttributeError ...: not that kind
            raise Fault(
                f"found {shown(node.value)}, which looks like {kind} and is none; correct it, or "
                "put it in quotes if it is text",
                at,
                line,
            ) from None

    def _mapping(self, node: yaml.MappingNode, at: tuple[int | str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                for more in self._merged(value_node, at):
                    for key, value in more.items():
                        merged.setdefault(key, value)
                continue
            key = self._key(key_node, at)
            line = _line_of(key_node)
            if key in found:
                raise Fault(
                    f"the key {shown(key)} is given twice; keep one of them", (*at, key), line
                )
            self.lines[*at, key] = line
            found[key] = self.build(value_node, (*at, key))
        return merged | found

    def _merged(self, node: yaml.Node, at: tuple[int | str, ...]) -> list[dict[str, Any]]:
        value = self.build(node, at)
        merged = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in merged):
            raise Fault(
                "<< takes a mapping, or a list of them; write << only for an alias of one",
                at,
                _line_of(node),
            )
        return merged

    def _key(self, node: yaml.Node, at: tuple[int | str, ...]) -> str:
        line = _line_of(node)
        if not isinstance(node, yaml.ScalarNode):
            raise Fault(
                "found a list or a mapping where a key must stand; put text such as "
                "{{ name }} in quotes",
                at,
                line,
            )
        key = self._scalar(node, at, line)
        if not isinstance(key, str):
            raise Fault(
                f"found the key {shown(node.value)}, which is read as {_KINDS[node.tag]}; "
                "expected text. Put the key in quotes",
                at,
                line,
            )
        return key


def _strange_tag(tag: str, at: tuple[int | str, ...], line: int) -> Fault:
    return Fault(
        f"found the tag {shown(tag.replace(_TAG, '!!'))}; expected a plain text, number, date, "
        "list or mapping. Remove the tag",
        at,
        line,
    )
