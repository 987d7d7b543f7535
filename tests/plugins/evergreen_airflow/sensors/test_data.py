"""A missing partition costs no worker slot, and in the end is named."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import TaskDeferred
from tests.conftest import AS_OF

from evergreen.errors import MissingPartitionError
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


def test_the_trigger_fires_when_the_last_key_lands(store, sensor):
    payload = fire(
        store, ["a", "b"], seconds=30, meanwhile=lambda: [store.put(k, b"x") for k in "ab"]
    )

    assert payload == {"landed": True}


def test_the_trigger_gives_up_at_its_deadline(store, sensor):
    assert fire(store, ["never"], seconds=0.05) == {"landed": False}
