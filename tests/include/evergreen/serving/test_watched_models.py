"""When each model was last monitored, as the model server tells Prometheus."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from evergreen.serving.metrics import ServerMetrics
from evergreen.serving.watched_models import WatchedModels, watched_until
from evergreen.spec import ModelSpec, load_spec
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore

SPEC = load_spec("flight_delay")


def keep(store: FolderStore, model: str, day: date, as_of: str) -> None:
    store.put(
        layout.health_record(model, day), json.dumps({"as_of": as_of, "format_version": 2}).encode()
    )


def test_the_newest_day_of_each_model_counts_and_a_damaged_record_hides_no_other(tmp_path):
    store = FolderStore(tmp_path)
    models = SimpleNamespace(
        known=dict.fromkeys(("daily", "never", "damaged"), SPEC), followers={}, removed={}
    )
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
    models = SimpleNamespace(known={"a": SPEC, "b": SPEC})
    watched = WatchedModels(FolderStore(tmp_path), models)
    asyncio.run(watched.look())

    models.known = {"b": SPEC}
    asyncio.run(watched.look())

    assert watched.instants == {"b": None}


@pytest.mark.parametrize(
    ("changes", "later"),
    [
        ({}, timedelta(0)),
        ({"source": {"closed": {"weekdays": ["tuesday", "wednesday"]}}}, timedelta(days=2)),
        ({"source": {"closed": {"dates": ["2026-03-04"]}}}, timedelta(0)),
        ({"schedules": {"monitor": "0 6 * * 1"}}, timedelta(days=6)),
        ({"schedules": {"monitor": "0 6 * * 1-5"}}, timedelta(days=2)),
    ],
)
def test_a_closed_day_or_a_rare_schedule_is_no_gap(changes, later):
    content = SPEC.model_dump(mode="json")
    content |= {"source": content["source"] | changes.get("source", {})}
    content |= {"schedules": changes.get("schedules", {})}
    monitored = datetime(2026, 3, 3, 6, tzinfo=UTC)  # of Monday the 2nd

    assert watched_until(ModelSpec.model_validate(content), monitored) == monitored + later
