"""A docstring names only parameters that its function has: a rename must reach both."""

from __future__ import annotations

import ast
import re

import pytest

from tests.test_size import FILES, functions, name_of

#: ``*name*`` and ``:param name:``, as docstrings of this project refer to a parameter.
NAMED = re.compile(r"(?<!\*)\*([a-z_]+)\*(?!\*)|:param (\w+):")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_docstrings_name_parameters_that_exist(path):
    unknown = []
    for function in functions(path):
        given = function.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        known = {argument.arg for argument in every if argument is not None}
        named = {"".join(found) for found in NAMED.findall(ast.get_docstring(function) or "")}
        unknown += [f"{function.name}: {name}" for name in sorted(named - known)]

    assert unknown == []
