"""What the log of requests keeps when the store or a row fails, and what it counts as lost."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest

from evergreen.data.parquet import from_parquet
from evergreen.serving import request_log
from evergreen.serving.inputs import RequestRows
from evergreen.serving.request_log import RequestLog
from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore

SPEC = load_spec("flight_delay")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Store(FolderStore):
    """A store that takes nothing for the models in ``refuses``."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.refuses: set[str] = set()

    def put(self, key, data):
        if key.split("/")[1] in self.refuses:
            raise OSError("no space left on device")
        return super().put(key, data)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def log(store) -> RequestLog:
    return RequestLog(
        store, replica="r", share=1, max_rows=3, clock=lambda: NOW, rng=random.Random(0)
    )


def rows(count: int, key: str = "k", **inputs: object) -> RequestRows:
    return RequestRows(
        inputs={name: [value] * count for name, value in inputs.items()},
        count=count,
        keys={"flight": [key] * count},
        event_times=None,
    )


def spec_of(model: str):
    return SPEC.model_copy(update={"model": model})


def written(store: FolderStore, folder: str) -> dict[str, int]:
    """Return the number of entries per model in *folder*."""
    found: dict[str, int] = {}
    for key in store.list(f"{folder}/"):
        model = key.split("/")[1]
        found[model] = found.get(model, 0) + len(from_parquet(store.get(key)))
    return found


def test_one_model_that_cannot_be_written_does_not_cost_the_others_anything(store, log):
    for model in ("a", "b", "c"):
        log.add_rows(spec_of(model), rows(2), ["1", "1"])
        log.add(model, duration_ms=1, status=200, versions=["1"])
    log._rows["b"][0]["text"] = "\ud800"  # no check lets it through; the log must survive it too

    asyncio.run(log.flush())

    assert written(store, "served") == {"a": 2, "c": 2}
    assert written(store, "requests") == {"a": 1, "b": 1, "c": 1}
    assert log.dropped == 2


def test_what_the_store_does_not_take_is_written_later(store, log):
    store.refuses = {"a"}
    for model in ("a", "b"):
        log.add_rows(spec_of(model), rows(2), ["1", "1"])
        log.add(model, duration_ms=1, status=200, versions=["1"])

    asyncio.run(log.flush())
    store.refuses = set()
    asyncio.run(log.flush())

    assert written(store, "served") == {"a": 2, "b": 2}
    assert written(store, "requests") == {"a": 1, "b": 1}
    assert log.dropped == 0


def test_what_does_not_fit_while_the_store_is_down_is_counted(store, log, monkeypatch):
    monkeypatch.setattr(request_log, "MAX_LINES", 4)
    store.refuses = {"a"}

    async def answered_meanwhile(*entries, call=asyncio.to_thread):
        log.add_rows(spec_of("a"), rows(2), ["1", "1"])
        log.add("a", duration_ms=1, status=200, versions=["1", "2", "3"])
        return await call(*entries)

    log.add_rows(spec_of("a"), rows(3), ["1"] * 3)
    log.add("a", duration_ms=1, status=200, versions=["1", "2", "3"])
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "to_thread", answered_meanwhile)
        asyncio.run(log.flush())
    before = log.dropped
    store.refuses = set()
    asyncio.run(log.flush())

    assert before > 0
    assert written(store, "served") == {"a": 3}
    assert written(store, "requests") == {"a": 4}


def test_rows_that_cannot_be_noted_do_not_reach_the_caller(store, log):
    strange = rows(2, **{SPEC.examples.numeric[0]: "no number"})

    log.add_rows(SPEC, strange, ["1", "1"])
    asyncio.run(log.flush())

    assert log.dropped == 2
    assert written(store, "served") == {}
