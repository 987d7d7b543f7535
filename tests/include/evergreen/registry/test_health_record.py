"""A red day holds a promotion, unless the run answers it or the spec says otherwise."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.conftest import AS_OF

from evergreen.errors import ArtifactError
from evergreen.registry.health_record import monitor_results, red_day, why_held
from evergreen.spec.release import Deployment
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore

DAY = AS_OF.date() - timedelta(days=1)


@pytest.fixture
def record():
    """Write what monitor found on a day, in the form of its page's data."""

    def write(store, model: str, colour: str, *, day=DAY, reasons=("quality: roc_auc fell",)):
        content = {"day": str(day), "colour": colour, "reasons": list(reasons), "more": 1}
        content |= {"format_version": 2, "report": {"results": {}}}
        store.put(layout.health_record(model, day), json.dumps(content).encode())

    return write


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"format_version": 2, "day": "2013-01-01"}',
        b'{"format_version": 2, "day": "2013-01-01", "colour": "violet", "reasons": []}',
        b'{"format_version": 2, "day": "2013-01-01", "colour": "green", "reasons": [], "report": '
        b'{"results": {"quality": {"colour": "red", "reasons": []}}}}',
    ],
)
def test_a_damaged_record_is_named(tmp_path, content):
    """The last of them: a red monitor in a green day."""
    store, key = FolderStore(tmp_path), layout.health_record("m", DAY)
    store.put(key, content)

    with pytest.raises(ArtifactError, match=key):
        red_day(store, "m", as_of=AS_OF)
    with pytest.raises(ArtifactError, match=key):
        monitor_results(store, key)


@pytest.mark.parametrize("colour", ["green", "amber", "unknown"])
def test_only_a_red_day_is_red(tmp_path, record, colour):
    store = FolderStore(tmp_path)
    assert red_day(store, "m", as_of=AS_OF) is None
    record(store, "m", colour)
    assert red_day(store, "m", as_of=AS_OF) is None
    record(store, "m", "red")
    assert red_day(store, "m", as_of=AS_OF).day == DAY


def test_the_newest_day_counts_and_an_old_one_does_not(tmp_path, record):
    store = FolderStore(tmp_path)
    record(store, "m", "red", day=DAY - timedelta(days=1))
    assert red_day(store, "m", as_of=AS_OF).day == DAY - timedelta(days=1)
    assert red_day(store, "m", as_of=AS_OF + timedelta(days=2)) is None
    record(store, "m", "green")
    assert red_day(store, "m", as_of=AS_OF) is None


def test_a_reason_names_day_cause_and_setting(tmp_path, record):
    store = FolderStore(tmp_path)
    record(store, "m", "red", reasons=("quality: a", "drift: b", "labels: c"))

    found = why_held(red_day(store, "m", as_of=AS_OF), setting="deployment.on_red")

    assert (
        found == f"it is held: {DAY} is red (quality: a and 2 more) and deployment.on_red is hold"
    )


@pytest.fixture
def history(new_history):
    return new_history()


def record_red(record, history, registration) -> None:
    day = registration.as_of.date() - timedelta(days=1)
    record(history.store, history.spec.model, "red", day=day)


def test_a_red_day_holds_a_night_but_not_the_retrain_that_answers_it(history, record):
    version = history.version(1)
    record_red(record, history, version)

    held = history.deploy(version)
    answered = history.deploy(version, answers_red=True)

    assert (held.moved, held.reason.startswith("it is held: ")) == (False, True)
    assert answered.moved is True


def test_a_spec_may_only_warn(history, record, caplog):
    version = history.version(1)
    record_red(record, history, version)
    history.spec = history.spec.model_copy(update={"deployment": Deployment(on_red="warn")})

    assert history.deploy(version).moved is True
    assert "deployment.on_red is warn: quality: roc_auc fell" in caplog.text
