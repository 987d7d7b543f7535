"""A bench is run by hand and seldom, so at least it must still fit what it measures."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

#: The plain script is run among the bench's own models, which are not here.
BENCHES = sorted(
    path.stem for path in Path(__file__).parent.glob("bench/*.py") if path.stem != "plain_script"
)


@pytest.mark.parametrize("name", BENCHES)
def test_it_finds_all_that_it_imports(name):
    assert importlib.import_module(f"tests.bench.{name}").__doc__
