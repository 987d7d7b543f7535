"""Drift of one day beside its reference, decided from the data alone, on real flights."""

from __future__ import annotations

import gzip
import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidently.ui import workspace as evidently_ui
from tests.conftest import AS_OF
from tests.support.night import Night

from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.errors import MonitoringError, NoChampionError
from evergreen.monitoring.drift_alarms import alarm_of, column_weights
from evergreen.monitoring.drift_detection import detect_drift
from evergreen.monitoring.drift_distances import (
    PREDICTION,
    SPREAD,
    UNSEEN,
    measure_distances,
    possible_distances,
)
from evergreen.monitoring.drift_thresholds import thresholds
from evergreen.reporting.evidently_dashboard import fill_workspace
from evergreen.spec.monitoring import Drift
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import read_object
from evergreen.workspace import Workspace

#: The tests have 24 days: each is held against the week before it. A report draws each column.
DRIFT = Drift(
    reference_weeks=1,
    same_weekday=False,
    history_days=14,
    persistence=(2, 3),
    columns=("hour", "distance", "planned_speed", "airport_delay", "visib", "carrier"),
)
DAY = AS_OF.date()


class Watch:
    """Change raw flights of a day, and watch a day; by default the first after the champion."""

    def __init__(self, served: Night) -> None:
        self.store, self.client = served.store, served.client
        self.spec = served.spec.model_copy(update={"drift": DRIFT})

    def change(self, day, how, *, table: str = "flights") -> None:
        key = f"raw/{table}/{day}.parquet"
        self.store.put(key, to_parquet(how(from_parquet(self.store.get(key)))))

    def __call__(self, as_of=AS_OF + timedelta(days=1), **drift):
        spec = self.spec.model_copy(update={"drift": DRIFT.model_copy(update=drift)})
        return detect_drift(Workspace(self.store, self.client, spec), as_of=as_of)


@pytest.fixture(scope="module")
def measured(serving, tmp_path_factory) -> Path:
    """A store in which the past was measured once, as it is on any night but the first."""
    root = tmp_path_factory.mktemp("measured") / "store"
    shutil.copytree(serving.store.root, root)
    Watch(Night(FolderStore(root), serving.client, serving.spec))()
    return root


@pytest.fixture
def watch(serving, measured, tmp_path) -> Watch:
    shutil.copytree(measured, tmp_path / "store")
    return Watch(Night(FolderStore(tmp_path / "store"), serving.client, serving.spec))


def in_leagues(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=frame["distance"] / 3)


def test_an_ordinary_day_is_green_and_every_column_is_held_against_its_limit(watch):
    found = watch(columns=())

    assert (found.colour, found.reasons) == ("green", ())
    assert {*watch.spec.examples.features, PREDICTION} <= {one.name for one in found.columns}
    assert found.history_days == 14
    assert found.reference_rows > found.rows > 500


def test_a_fault_is_found_on_its_day_and_named_with_numbers(watch):
    watch.change(DAY, in_leagues)

    found = watch()

    findings = {finding.name: finding for finding in found.alarms[-1].findings}
    finding = findings["distance"]
    assert found.colour == "amber"
    derived = {"planned_speed", f"planned_speed{SPREAD}"}
    assert set(findings) <= {"distance", f"distance{SPREAD}", PREDICTION} | derived
    assert f"usual are {finding.usual:.4g}, an alarm is beyond {finding.limit:.4g}" in str(
        found.reasons
    )
    assert not found.requests_retrain


def test_a_renamed_category_is_named_as_unseen(watch):
    watch.change(DAY, lambda f: f.assign(carrier=f["carrier"].replace("UA", "U1")))

    names = {finding.name for finding in watch().alarms[-1].findings}

    assert {"carrier", f"carrier{UNSEEN}"} <= names <= {"carrier", f"carrier{UNSEEN}", PREDICTION}


def test_drift_that_stays_asks_for_a_retrain(watch):
    for back in (0, 1):
        watch.change(DAY - timedelta(days=back), in_leagues)

    found = watch()

    assert found.colour == "red"
    assert found.requests_retrain
    assert found.reasons[0] == "drift on 2 of the last 3 days"


def test_evidentlys_own_marks_are_the_decision(watch):
    """Its report must not say Detected where we say nothing, nor the reverse."""
    watch.change(DAY, in_leagues)

    found = watch()

    limits = {one.name: one.distance > one.limit for one in found.columns}
    marks = {name: of["beyond_default_threshold"] for name, of in found.report.columns.items()}
    assert marks == {name: limits[name] for name in marks}
    assert marks["distance"]
    page = read_object(watch.store, found.report.html).decode()
    assert f"{DAY}: {len(found.alarms[-1].findings)} distances beyond their limits" in page


def test_the_snapshot_opens_in_evidently(watch):
    from evidently.core.report import Snapshot

    found = watch()
    snapshot = Snapshot.loads(
        gzip.decompress(read_object(watch.store, found.report.snapshot)).decode()
    )

    assert snapshot.get_name() == f"{watch.spec.model} {DAY}"
    assert snapshot.dict()["metrics"]


def test_every_snapshot_is_a_run_of_evidentlys_own_dashboard_once(watch, tmp_path):
    watch()
    watch.change(DAY, in_leagues)
    watch()

    first = fill_workspace(watch.store, watch.spec, folder=tmp_path / "ui")
    again = fill_workspace(watch.store, watch.spec, folder=tmp_path / "ui")

    workspace = evidently_ui.Workspace.create(str(tmp_path / "ui"))
    (project,) = workspace.list_projects()
    assert (first, again) == (2, 0)
    assert project.name == watch.spec.model
    assert len(workspace.list_runs(project.id)) == 2


def test_a_column_that_appears_in_the_raw_data_is_told(watch):
    watch.change(DAY, lambda f: f.assign(gate="B7"))

    found = watch()

    assert found.colour == "amber"
    assert found.reasons == ("schema: flights.gate is large_string, was not there",)


def test_a_replay_comes_out_as_on_its_night_whatever_happened_since(watch):
    before = watch()
    watch(AS_OF + timedelta(days=1), history_days=13)  # something else was measured in between

    assert watch() == before


def test_a_gap_in_the_past_is_left_out(watch):
    whole = watch(history_days=30).history_days
    watch.store.delete(f"raw/flights/{DAY - timedelta(days=8)}.parquet")

    # The day after it cannot be prepared without it either.
    assert watch(history_days=30).history_days == whole - 2


def test_a_day_that_is_missing_gives_no_result(watch):
    watch.store.delete(f"raw/flights/{DAY}.parquet")

    with pytest.raises(MonitoringError, match=r"2013-03-01 of .* did not land"):
        watch()


def test_a_day_without_a_reference_says_what_would_make_one(watch):
    with pytest.raises(MonitoringError, match="fewer than half of the days of the same weekday"):
        watch(reference_weeks=52, same_weekday=True)


def test_before_the_first_champion_nothing_is_watched(watch):
    with pytest.raises(NoChampionError, match="may score 2013-02-27"):
        watch(AS_OF - timedelta(days=1))


def test_a_short_history_tells_nothing_and_says_so(watch):
    for back in range(10, 26):
        watch.store.delete(f"raw/flights/{DAY - timedelta(days=back)}.parquet")

    found = watch()

    assert found.colour == "unknown"
    assert "7 are needed" in found.reasons[-1]


def test_measuring_again_reads_nothing_it_has_read(watch, monkeypatch):
    watch()
    kept = set(watch.store.list("distances/"))
    opened = []
    real = type(watch.store).get
    monkeypatch.setattr(
        type(watch.store), "get", lambda self, key: (opened.append(key), real(self, key))[1]
    )

    watch()

    assert [key for key in opened if key.startswith("examples/") and key.endswith(".parquet")] == []
    assert set(watch.store.list("distances/")) == kept


def test_weights_follow_what_a_column_is_worth_and_none_is_forgotten(watch):
    spec = watch.spec.model_copy(update={"drift": Drift(columns=("hour", "temp"))})

    assert column_weights(spec, {"hour": 0.3, "temp": 0.1}) == {"hour": 1.25, "temp": 0.75}
    assert column_weights(spec, {"hour": 0.3, "temp": -0.1}) == {"hour": 1.5, "temp": 0.5}
    assert column_weights(spec, {}) == {}


def test_a_column_worth_more_has_the_lower_limit():
    history = pd.DataFrame({"a": range(10, 70), "b": range(10, 70)}, dtype=float)

    same = thresholds(history, weights={}, resolution={}, false_alarm_rate=0.02)
    found = thresholds(history, weights={"a": 1.5, "b": 0.5}, resolution={}, false_alarm_rate=0.02)

    assert same["a"] == same["b"]
    assert found["a"].limit < found["b"].limit


def test_a_mended_fault_of_the_past_does_not_blind_the_present():
    calm = pd.DataFrame({"a": [0.02 + 0.001 * (n % 7) for n in range(60)]})
    scarred = calm.copy()
    scarred.iloc[20:25] = 30.0

    limits = [
        thresholds(h, weights={}, resolution={}, false_alarm_rate=0.02)["a"].limit
        for h in (calm, scarred)
    ]

    assert limits[1] < 1.5 * limits[0] < 0.2


def test_report_json_is_strict(watch):
    found = watch()

    json.loads(read_object(watch.store, found.report.json_report), parse_constant=pytest.fail)


def history_of(rng, *, days=60, columns=12) -> pd.DataFrame:
    """Distances of ordinary days: squares of a normal deviate, as of independent samples."""
    return pd.DataFrame(
        rng.normal(size=(days, columns)) ** 2, columns=[f"c{n}" for n in range(columns)]
    )


def limits_of(history, **how):
    return thresholds(history, weights={}, resolution={}, false_alarm_rate=0.02, **how)


def raised_by_flags(seed: int, *, share: float, size: float, flags: int) -> float:
    """Return how many times the limit of another column grows beside so many flags."""
    rng = np.random.default_rng(seed)
    history = history_of(rng)
    alone = limits_of(history)
    on = rng.random((60, flags)) < share
    with_flags = history.assign(**{f"flag{n}": np.where(on[:, n], size, 0.0) for n in range(flags)})
    found = limits_of(with_flags)
    return max(found[name].limit / alone[name].limit for name in history)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.2, 0.3, 0.4, 0.6])
@pytest.mark.parametrize("size", [1e-6, 0.3, 1.0, 1e6])
@pytest.mark.parametrize("flags", [1, 3])
def test_calendar_columns_do_not_raise_the_limits_of_the_others(share, size, flags):
    """A flag that equals its reference on most days, and differs on some."""
    assert raised_by_flags(5, share=share, size=size, flags=flags) < 2.5


@pytest.mark.parametrize("share", [0.03, 0.06, 0.09])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("flags", [5, 8])
def test_many_flags_of_a_few_days_each_do_not_raise_the_limits_of_the_others(share, size, flags):
    """Together they differ from their references on a third of the days."""
    assert raised_by_flags(7, share=share, size=size, flags=flags) < 3


def test_what_a_column_did_on_two_occasions_is_ordinary_and_one_spell_is_not():
    calm = np.random.default_rng(8).random(60) * 0.01
    once, twice = calm.copy(), calm.copy()
    once[20:24] = twice[20:22] = twice[40] = 5.0

    limits = [limits_of(pd.DataFrame({"a": one}))["a"].limit for one in (calm, once, twice)]

    assert limits[1] < 2 * limits[0] < 1
    assert limits[2] == 5.0


def test_a_limit_is_at_least_what_chance_allows():
    history = pd.DataFrame({"a": np.zeros(60), "b": np.random.default_rng(9).random(60)})

    found = limits_of(history, by_chance={"a": 0.4, "b": 0.001})

    assert found["a"].limit == 0.4
    assert found["b"].limit > 0.5


def test_a_limit_that_no_distance_can_reach_cannot_alarm():
    rng = np.random.default_rng(6)
    history = history_of(rng, columns=3)
    limits = limits_of(history, possible={"c0": 1.0, "c1": 1e9})

    assert [limits[name].can_alarm for name in ("c0", "c1", "c2")] == [False, True, True]
    found = alarm_of(DAY, pd.Series({"c0": 1.0, "c1": 0.0, "c2": 0.0}), limits)
    assert found.findings == ()


def test_the_largest_possible_distances_are_known():
    then = pd.DataFrame(
        {"n": [0.0, 1.0], "flag": [0, 1], "name": ["a", "b"], "none": [None, None], "same": [1, 1]}
    )
    now = then.assign(n=[3.0, 2.0])

    found = possible_distances(then, now)

    assert found["n"] == 3.0
    assert found["flag"] == 1.0
    assert found["name"] == pytest.approx(0.8326, abs=1e-4)
    assert found["name: unseen categories"] == found["none: missing"] == 1.0
    assert "same" not in found  # any other value would be new
    distances = measure_distances(pd.DataFrame({"name": ["a"]}), pd.DataFrame({"name": ["b"]}))
    assert distances["name"] == pytest.approx(found["name"])  # reached where nothing is shared
