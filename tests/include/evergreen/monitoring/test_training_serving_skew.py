"""What callers sent is held against the examples of the same events, on real flights."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pandas as pd
import pytest
from tests.conftest import AS_OF
from tests.support.night import NOW

from evergreen.data.parquet import from_parquet
from evergreen.data.validation import validate_window
from evergreen.data.window import DayRange, scoring_day
from evergreen.errors import MonitoringError
from evergreen.monitoring.training_serving_skew import measure_skew
from evergreen.scoring.scoring import score_partition
from evergreen.serving.inputs import check
from evergreen.serving.request_log import RequestLog
from evergreen.spec.inputs import InputGroup
from evergreen.spec.monitoring import Service
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace

#: The run that watches the first day the champion scores.
WATCHED_AT = AS_OF + timedelta(days=1)


@pytest.fixture(scope="module")
def scored(serving, tmp_path_factory):
    """A store in which the day after the champion's last is scored, and that day's examples."""
    import shutil

    root = tmp_path_factory.mktemp("skew") / "store"
    shutil.copytree(serving.store.root, root)
    store, day = FolderStore(root), scoring_day(WATCHED_AT)
    days = DayRange(first=day, end=day + timedelta(days=1))
    verdicts = validate_window(store, serving.spec, as_of=WATCHED_AT, days=days)
    score_partition(
        Workspace(store, serving.client, serving.spec), as_of=WATCHED_AT, validation=verdicts
    )
    key = next(k for k in store.list(f"examples/flight_delay/{day}/") if k.endswith(".parquet"))
    spec = serving.spec.model_copy(update={"service": Service(min_skew_rows=20)})
    return store, spec, from_parquet(store.get(key))


@pytest.fixture
def day(scored):
    """What a caller's requests leave behind, through the server's own checks and log."""
    store, own, examples = scored
    for key in list(store.list("served/")):
        store.delete(key)

    def measure(change=lambda rows: rows, rows: int = 40, keys: bool = True, spec=own):
        names = dict.fromkeys([*spec.examples.features, *spec.examples.entity_key, "event_time"])
        sent = change(examples[list(names)].head(rows).copy())
        for name in sent.select_dtypes("datetimetz"):
            sent[name] = sent[name].map(lambda instant: instant.isoformat())
        if not keys:
            sent = sent[list(spec.examples.features)]
        known = sent.astype(object).where(sent.notna(), None)
        columns = {name: known[name].tolist() for name in known}
        checked = check(columns, spec=spec.examples, needed=spec.examples.features, max_rows=1000)
        log = RequestLog(
            store, replica="a", share=1, max_rows=500, clock=lambda: NOW, rng=random.Random(0)
        )
        log.add_rows(spec, checked, ["1"] * checked.count)
        asyncio.run(log.flush())
        return measure_skew(store, spec, as_of=WATCHED_AT)

    return measure


def test_a_caller_that_computes_the_same_is_green(day, scored):
    inputs, found = scored[1].examples.features, day()

    assert (found.colour, found.reasons) == ("green", ())
    assert (found.served, found.compared) == (40, 40)
    assert {column.share for column in found.columns} == {0.0}
    assert {column.name for column in found.columns} == set(inputs)


def test_a_difference_names_the_column_with_a_pair(day):
    found = day(lambda rows: rows.assign(temp=(rows["temp"] - 32) / 1.8))

    assert found.colour == "red"
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("skew: temp differs in 100.0% of 40 rows, such as ")
    assert [column.name for column in found.columns if column.share] == ["temp"]


def test_a_pair_of_personal_values_is_not_shown(day, scored):
    group = InputGroup(columns=("temp",), personal=True, purpose="a test")
    spec = scored[1].model_copy(update={"inputs": {"weather": group}})

    found = day(lambda rows: rows.assign(temp=1234.5), spec=spec)

    assert found.colour == "red"
    assert "such as removed: personal data served" in found.reasons[0]
    assert "1234.5" not in found.model_dump_json()


def test_a_row_written_under_another_key_is_not_known(day):
    """A carrier is part of the flight's name: written otherwise it is another flight."""

    def rename(rows: pd.DataFrame) -> pd.DataFrame:
        some = rows["carrier"].str.lower()
        return rows.assign(carrier=some.where(rows.index < 4, rows["carrier"]))

    found = day(rename)

    assert (found.served, found.compared) == (40, 36)


def test_a_text_that_differs_in_some_rows_is_found(day):
    def swap(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(dest=rows["dest"].where(rows.index >= 4, "XXX"))

    found = day(swap)

    assert found.colour == "red"
    assert "dest differs in 10.0% of 40 rows, such as XXX served" in found.reasons[0]


def test_unknown_is_not_the_same_as_nought(day):
    found = day(lambda rows: rows.assign(precip=float("nan")))

    [precip] = [column for column in found.columns if column.name == "precip"]
    assert precip.share == 1.0
    assert float(precip.prepared) == 0


def test_asked_twice_the_newest_counts(day):
    found = day(lambda rows: pd.concat([rows.assign(temp=-1.0), rows], ignore_index=True), rows=30)

    assert (found.colour, found.served, found.compared) == ("green", 60, 30)


def test_too_few_to_tell_is_unknown_with_what_to_do(day):
    few, nameless = day(rows=10), day(keys=False)

    assert few.colour == nameless.colour == "unknown"
    assert "10 served rows are known as examples" in few.reasons[0]
    assert "callers must send carrier, flight, origin, scheduled_departure" in few.reasons[0]


def test_a_day_that_was_not_scored_is_an_error(scored):
    store, spec, _ = scored

    with pytest.raises(MonitoringError, match="has no predictions of 2013-03-02"):
        measure_skew(store, spec, as_of=WATCHED_AT + timedelta(days=1))
