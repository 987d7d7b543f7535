"""Functions and files stay small, and no formatting is switched off."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

MAX_BODY_LINES, MAX_POSITIONAL, MAX_FILE_LINES = 40, 5, 300
FILES = [
    path
    for folder in ("include/evergreen", "plugins/evergreen_airflow", "dags")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_there_are_files_to_look_at():
    assert len(FILES) > 150


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_are_short_and_take_few_positional_arguments(path):
    long, many = {}, []
    for function in functions(path):
        name = f"{name_of(path)}:{function.name}"
        if (lines := body_lines(function)) > MAX_BODY_LINES:
            long[name] = lines
        given = [
            a
            for a in function.args.posonlyargs + function.args.args
            if a.arg not in ("self", "cls")
        ]
        if len(given) > MAX_POSITIONAL:
            many.append(name)

    assert (long, many) == ({}, [])


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path):
    text = path.read_text()

    assert len(text.splitlines()) <= MAX_FILE_LINES


def test_no_formatting_is_switched_off():
    comment = re.compile(r"#\s*fmt: ?(skip|off)")
    found = [
        name_of(path)
        for folder in ("include", "plugins", "dags", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if comment.search(path.read_text())
    ]

    assert found == []
