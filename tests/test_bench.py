"""A bench is run by hand and seldom, so at least it must still fit what it measures."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path

import pytest

from tests.bench.monitored_year import summarise
from tests.conftest import AS_OF
from tests.support.monitored import monitor_day

#: The plain script is run among the bench's own models, which are not here.
BENCHES = sorted(
    path.stem for path in Path(__file__).parent.glob("bench/*.py") if path.stem != "plain_script"
)


@pytest.mark.parametrize("name", BENCHES)
def test_it_finds_all_that_it_imports(name):
    assert importlib.import_module(f"tests.bench.{name}").__doc__


def test_a_monitored_day_has_what_the_year_prints(serving, capsys):
    days = [monitor_day(serving.workspace, AS_OF + timedelta(days=1))]

    summarise(days, [(AS_OF, "first: version 1")])

    assert "drift alarms on 0 of 1 days" in capsys.readouterr().out
