"""When a state is too old to be shown, and which models have a past but no folder."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore
from evergreen_airflow.ui import pages
from evergreen_airflow.ui.airflow_state import DagState, Runs
from evergreen_airflow.ui.watching import not_watched, removed_models, visible_removed

SPEC = load_spec("flight_delay")
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
#: The run of 06:00 on the 10th is about the 9th.
DUE = datetime(2026, 3, 10, 6, tzinfo=UTC)
NO_RUNS = Runs(
    last_run_id=None,
    last_state=None,
    last_ended=None,
    verdict=None,
    next_run=None,
    is_paused=False,
)


def history(
    newest: date | None, *, champion_since: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
):
    champion = None
    if champion_since is not None:
        champion = SimpleNamespace(serves_from=champion_since, version="3")
    day = None
    if newest is not None:
        day = SimpleNamespace(
            day=newest,
            colour="green",
            reasons=(),
            champion_days=1.0,
            data_days=1.0,
            metric="roc_auc",
            p95_ms=None,
            drift=None,
        )
    return SimpleNamespace(
        spec=SPEC,
        newest=day,
        ledger=SimpleNamespace(champion=champion),
        quality={},
        days=(day,) if day else (),
    )


@pytest.mark.parametrize(
    ("newest", "monitor", "expected"),
    [
        (date(2026, 3, 9), DagState(last_due=DUE), None),
        (date(2026, 3, 8), DagState(last_due=DUE), "not watched since 2026-03-08"),
        (None, DagState(last_due=DUE), "not watched at all"),
        (date(2026, 3, 9), DagState(last_due=DUE, next_run=DUE + timedelta(days=1)), None),
        # The scheduler makes no runs: the next one should have ended hours ago.
        (date(2026, 3, 8), DagState(next_run=DUE), "not watched since 2026-03-08"),
        # It still may run.
        (date(2026, 3, 8), DagState(next_run=NOW - timedelta(hours=1)), None),
        # The list shows that it is paused.
        (date(2026, 3, 8), DagState(next_run=DUE, is_paused=True), None),
        # Started by hand, or never: nothing was due.
        (date(2013, 3, 8), DagState(last_run_id="manual", last_state="success"), None),
    ],
)
def test_a_state_is_too_old_once_a_due_run_left_no_record(newest, monitor, expected):
    found = not_watched(history(newest), monitor, now=NOW)

    assert found == expected or (expected and found.startswith(expected))


@pytest.mark.parametrize("since", [None, DUE + timedelta(hours=1)])
def test_before_the_first_champion_nothing_is_due(since):
    assert not_watched(history(None, champion_since=since), DagState(last_due=DUE), now=NOW) is None


@given(st.integers(0, 400), st.integers(0, 400))
def test_of_any_newest_day_and_due_run_the_older_day_is_not_watched(day, run):
    first = datetime(2026, 2, 1, 6, tzinfo=UTC)
    newest, due = date(2026, 2, 1) + timedelta(days=day), first + timedelta(days=run)

    found = not_watched(history(newest), DagState(last_due=due), now=due + timedelta(hours=1))

    assert (found is not None) is (newest < due.date() - timedelta(days=1))


def test_the_list_shows_it_in_grey_with_the_last_run_of_each_workflow():
    states = {
        "score": DagState(last_run_id="s 1", last_state="success"),
        "monitor": DagState(last_run_id="m", last_state="failed", last_due=DUE),
        "housekeeping": DagState(),
    }

    row = pages.row(history(date(2026, 3, 7)), NO_RUNS, states, now=NOW)
    page = pages.models([row], waiting=[], problems=[], removed=["old"], now=NOW)

    assert row.colour == "unknown"
    assert '<span class="state unknown">unknown</span>' in page
    assert "not watched since 2026-03-07" in page
    assert "flight_delay__score/runs/s%201" in page
    assert "flight_delay__monitor/runs/m" in page
    assert "housekeeping:" not in page
    assert "<strong>old was removed.</strong>" in page


def test_a_model_whose_alerts_go_to_no_one_is_marked(monkeypatch):
    states = dict.fromkeys(("score", "monitor", "housekeeping"), DagState())
    silent, alerting = history(date(2026, 3, 9)), history(date(2026, 3, 9))
    connections = SPEC.alerts.model_copy(update={"connections": ("pager",)})
    alerting.spec = SPEC.model_copy(update={"alerts": connections})

    for one, expected in ((silent, True), (alerting, False)):
        row = pages.row(one, NO_RUNS, states, now=NOW)
        page = pages.models([row], waiting=[], problems=[], removed=[], now=NOW)
        assert ("Its alerts go to no one" in page) is expected


def test_a_model_with_a_ledger_and_no_folder_was_removed(tmp_path):
    store, models = FolderStore(tmp_path / "store"), tmp_path / "models"
    for name in ("here", "gone", "broken"):
        store.put(f"ledger/{name}/00000001.json", b"{}")
    for name in ("here", "broken", "new"):
        (models / name).mkdir(parents=True)

    assert removed_models(store, now=NOW, models_dir=models) == ["gone"]
    assert removed_models(store, now=NOW, models_dir=tmp_path / "unmounted") == []


def test_a_ledger_that_is_new_is_found_within_minutes(tmp_path):
    store = FolderStore(tmp_path)
    (tmp_path / "models").mkdir()
    assert removed_models(store, now=NOW, models_dir=tmp_path / "models") == []

    store.put("ledger/gone/00000001.json", b"{}")

    later = NOW + timedelta(minutes=6)
    assert removed_models(store, now=later, models_dir=tmp_path / "models") == ["gone"]


def test_only_who_may_read_its_dags_or_all_sees_a_removed_model():
    assert visible_removed(["a", "b"], allowed={"a__retrain"}, sees_all=False) == ["a"]
    assert visible_removed(["a", "b"], allowed=set(), sees_all=True) == ["a", "b"]
