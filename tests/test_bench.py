"""A bench is run by hand and seldom, so at least it must still fit what it measures."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path

import pytest

from evergreen.data.examples import checked
from evergreen.data.parquet import from_parquet
from evergreen.data.partitions import partition
from evergreen.storage.folder import FolderStore
from tests.bench import gate_decisions
from tests.bench.monitored_year import Seen, summarise
from tests.conftest import AS_OF
from tests.support.datasets import bike_rentals, police_stops
from tests.support.monitored import monitor_day
from tests.support.monitored_models import EVERY

#: The plain script is run among the bench's own models, which are not here.
BENCHES = sorted(
    path.stem for path in Path(__file__).parent.glob("bench/*.py") if path.stem != "plain_script"
)


@pytest.mark.parametrize("name", BENCHES)
def test_it_finds_all_that_it_imports(name):
    assert importlib.import_module(f"tests.bench.{name}").__doc__


@pytest.mark.slow
@pytest.mark.parametrize("load", [police_stops, bike_rentals], ids=["police stops", "bike rentals"])
def test_an_equal_challenger_is_hardly_ever_promoted_on_other_data(load):
    """The short form of make bench-decisions: 2.5% are expected, 5% are promised."""
    pairs = gate_decisions.equal_on(load(), tries=200, test_days=7)

    promoted = sum(map(gate_decisions.by_days(gate_decisions.ALONE), pairs))

    assert promoted <= 0.05 * len(pairs)


@pytest.mark.slow
def test_a_better_challenger_is_promoted_in_the_short_form():
    found = {(r.data, r.method): r.rate for r in gate_decisions.power(tries=40)}

    (name,) = {data for data, _ in found if data.startswith("simulator, 900 rows a day, 14 days")}
    assert found[name, "Evergreen, one evaluation at 2.5%"] >= 0.8


def test_a_monitored_day_has_what_the_year_prints(serving, capsys):
    day = monitor_day(serving.workspace, AS_OF + timedelta(days=1))

    summarise(Seen(days=[day], retrained=[(AS_OF, "first: version 1")]))

    printed = capsys.readouterr().out
    assert "drift alarms on 0 of 1 days" in printed
    assert "retrains: 1, requested: 0" in printed


@pytest.mark.parametrize("name", ["police_stops", "bike_rentals"])
def test_a_landed_day_of_a_monitored_model_has_its_inputs_and_its_label(name, tmp_path):
    monitored = EVERY[name](tmp_path / "code")
    store, (day, _) = FolderStore(tmp_path / "store"), monitored.days
    monitored.land(store)
    (table,) = monitored.spec.tables
    raw = {table: from_parquet(store.get(partition(monitored.spec, table=table, day=day).key))}

    prepared = importlib.import_module(f"models.{name}.prepare").prepare(raw, day)

    rows = checked(prepared, spec=monitored.spec.examples, day=day).frame
    assert len(rows) == len(raw[table]) > 0
    assert {*monitored.spec.examples.features, monitored.spec.examples.label} <= set(rows)
    assert rows[monitored.spec.examples.label].notna().all()
