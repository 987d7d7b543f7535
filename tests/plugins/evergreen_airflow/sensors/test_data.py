"""A missing partition costs no worker slot, and in the end is named."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from tests.conftest import AS_OF

from evergreen.errors import AsOfError, MissingPartitionError
from evergreen.spec import load_spec
from evergreen.spec.source import Source
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.sensors.data import WaitForDataSensor
from evergreen_airflow.triggers.data import PartitionsTrigger

DAY = AS_OF.date()
LATER = AS_OF + timedelta(days=1)


@pytest.fixture
def sensor(store, monkeypatch) -> WaitForDataSensor:
    monkeypatch.setattr(ObjectStoreHook, "store", store)
    return WaitForDataSensor(task_id="wait_for_data", model="flight_delay", scope="scoring")


@pytest.fixture
def context() -> dict:
    run = SimpleNamespace(conf={}, run_after=LATER, run_type="manual")
    params = {"as_of": LATER.isoformat(), "reason": "a test"}
    dag, task = SimpleNamespace(params=params), SimpleNamespace(params={})
    return {"dag": dag, "task": task, "dag_run": run, "params": params}


def test_a_run_whose_data_is_there_goes_on_at_once(sensor, context):
    receipt = sensor.execute(context)

    assert receipt["as_of"] == "2013-03-02T00:00:00Z"
    assert receipt["reason"] == "manual: a test"
    assert receipt["partitions"] == 4  # two days of each table


def test_a_missing_partition_frees_the_worker(sensor, context, store):
    (store.root / f"raw/flights/{DAY}.parquet").unlink()

    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)

    assert deferred.value.trigger.keys == [f"raw/flights/{DAY}.parquet"]
    assert deferred.value.kwargs == {"as_of": LATER.isoformat()}


@pytest.mark.parametrize("asked", ["1990-01-01T00:00:00Z", "2013-01-02T00:00:00Z"])
def test_days_before_all_data_are_refused_at_once(sensor, context, asked):
    """Waiting would hold every night behind the run, and bring nothing."""
    context["params"]["as_of"] = asked

    with pytest.raises(AsOfError, match="the first day of flights that has landed is 20"):
        sensor.execute(context)


def test_a_table_of_which_nothing_landed_is_waited_for(sensor, context, store):
    for key in list(store.list("raw/weather/")):
        (store.root / key).unlink()

    with pytest.raises(TaskDeferred):
        sensor.execute(context)


CLOSED = {"weekdays": ["friday"]}  # the day that the run of 2 March 2013 scores


def test_a_closed_day_is_skipped(sensor, context, monkeypatch):
    spec = load_spec("flight_delay")
    source = Source.model_validate(spec.source.model_dump(mode="json") | {"closed": CLOSED})
    changed = spec.model_copy(update={"source": source})
    monkeypatch.setattr("evergreen_airflow.sensors.data.load_spec", lambda _: changed)

    with pytest.raises(AirflowSkipException, match=r"closed, by source\.closed"):
        sensor.execute(context)


def test_a_run_in_whose_interval_no_day_ended_is_skipped(sensor, context):
    """Clocks go forward over midnight in UTC: the night before had two days."""
    del context["params"]["as_of"]
    midnight = datetime(2013, 3, 1, tzinfo=UTC)
    context["data_interval_start"] = midnight
    context["data_interval_end"] = midnight + timedelta(hours=23)

    with pytest.raises(AirflowSkipException, match="No UTC day ended between"):
        sensor.execute(context)


def test_after_the_wait_the_error_names_day_and_path(sensor, context, store):
    (store.root / f"raw/flights/{DAY}.parquet").unlink()

    with pytest.raises(MissingPartitionError) as error:
        sensor.finish(context, {"landed": False}, as_of=LATER.isoformat())

    assert f"flights of {DAY} (raw/flights/{DAY}.parquet)" in str(error.value)
    assert store.uri in str(error.value)


def test_a_partition_that_landed_meanwhile_counts(sensor, context):
    receipt = sensor.finish(context, {"landed": False}, as_of=LATER.isoformat())

    assert receipt["partitions"] == 4


def fire(store, keys, *, seconds: float, meanwhile=None):
    trigger = PartitionsTrigger(
        store_conn_id="object_store_default",
        keys=keys,
        deadline=(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
        poll_s=0.01,
    )
    again = PartitionsTrigger(**trigger.serialize()[1])  # as a restarted triggerer would

    async def first_event():
        if meanwhile:
            asyncio.get_running_loop().call_later(0.05, meanwhile)
        return await anext(again.run())

    return asyncio.run(first_event()).payload


#: Ends as each whole Parquet file does.
PARQUET = b"PAR1 and PAR1"


def test_the_trigger_fires_when_the_last_key_lands(store, sensor):
    payload = fire(
        store, ["a", "b"], seconds=30, meanwhile=lambda: [store.put(k, PARQUET) for k in "ab"]
    )

    assert payload == {"landed": True}


def test_the_trigger_gives_up_at_its_deadline(store, sensor):
    assert fire(store, ["never"], seconds=0.05) == {"landed": False}
