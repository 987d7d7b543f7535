"""Keys are spelled in one module, and each begins with its kind and its model."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from evergreen.keys import checked_key
from evergreen.storage import layout

ROOT = Path(__file__).parents[4]
#: Arguments of each type of parameter, by its name.
ARGUMENTS = {
    "model": "m",
    "table": "t",
    "day": date(2013, 3, 1),
    "last": date(2013, 3, 1),
    "as_of": datetime(2013, 3, 1, 6, tzinfo=UTC),
    "number": 7,
    "level": 0.001,
    "kind": "ledger",
}
#: The functions that look at a key, and those of no model.
QUESTIONS = {
    "day_of",
    "is_health_record",
    "is_manifest",
    "is_quality_window",
    "kind_of",
    "parsed_extraction",
    "parsed_level",
}
OF_NO_MODEL = {"ci_folder", "heartbeat", "conformance_prefix"}
FUNCTIONS = {
    name: function
    for name, function in inspect.getmembers(layout, inspect.isfunction)
    if name not in QUESTIONS and function.__module__ == layout.__name__
}


def key_of(name: str) -> str:
    function = FUNCTIONS[name]
    return function(**{p: ARGUMENTS.get(p, "x") for p in inspect.signature(function).parameters})


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_key_can_be_stored_and_begins_with_kind_and_model(name):
    key = key_of(name).removesuffix("/")

    assert checked_key(key) == key
    assert key.split("/")[0] in layout.KINDS
    if name not in OF_NO_MODEL:
        assert re.match(r"[a-z_]+/m([/.]|$)", key)


def test_no_other_module_spells_a_key():
    """A literal that begins with a kind and a slash is a key that retention does not know of."""
    kinds = "|".join(layout.KINDS)
    found = []
    for folder in ("include/evergreen", "plugins/evergreen_airflow"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name == "layout.py":
                continue
            tree = ast.parse(path.read_text())
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
                if is_text and id(node) not in docstrings and re.match(rf"({kinds})/", node.value):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}")

    assert found == []


def test_the_key_of_an_extraction_names_its_day_and_query():
    key = layout.extraction_record("m", "t", date(2013, 3, 1), "abc")

    assert key.startswith(layout.extraction_record("m", "t"))
    assert layout.parsed_extraction(key) == (date(2013, 3, 1), "abc")


def test_a_prefix_lists_one_model_or_all():
    assert layout.all_of("ledger", "m") == "ledger/m/"
    assert layout.all_of("ledger") == "ledger/"
