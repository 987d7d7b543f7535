"""When each model was last monitored, as the model server tells Prometheus."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from types import SimpleNamespace

from prometheus_client import generate_latest

from evergreen.serving.metrics import ServerMetrics
from evergreen.serving.watched_models import WatchedModels
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore


def keep(store: FolderStore, model: str, day: date, as_of: str) -> None:
    store.put(layout.health_record(model, day), json.dumps({"as_of": as_of}).encode())


def test_the_newest_day_of_each_model_counts_and_a_damaged_record_hides_no_other(tmp_path):
    store = FolderStore(tmp_path)
    models = SimpleNamespace(known=("daily", "never", "damaged"), followers={}, removed={})
    keep(store, "daily", date(2026, 3, 2), "2026-03-03T06:00:00Z")
    keep(store, "daily", date(2026, 3, 1), "2026-03-02T06:00:00Z")  # a replay, written later
    keep(store, "removed", date(2026, 3, 2), "2026-03-03T06:00:00Z")
    store.put(layout.health_record("damaged", date(2026, 3, 2)), b"{")
    watched = WatchedModels(store, models)

    asyncio.run(watched.look())

    instant = datetime(2026, 3, 3, 6, tzinfo=UTC)
    assert watched.instants == {"daily": instant, "never": None}
    metrics = ServerMetrics(models, watched, SimpleNamespace(dropped=0))
    page = generate_latest(metrics.registry).decode()
    name = "evergreen_model_monitored_timestamp_seconds"
    line = next(one for one in page.splitlines() if one.startswith(f'{name}{{model="daily"}}'))
    assert float(line.split()[1]) == instant.timestamp()
    assert f'{name}{{model="never"}} 0.0' in page


def test_a_model_that_is_removed_is_not_reported_any_more(tmp_path):
    models = SimpleNamespace(known=("a", "b"))
    watched = WatchedModels(FolderStore(tmp_path), models)
    asyncio.run(watched.look())

    models.known = ("b",)
    asyncio.run(watched.look())

    assert watched.instants == {"b": None}
