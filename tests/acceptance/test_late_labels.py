"""
Promise 7: labels seven days late, out of order, twice: each window's metric equals the direct
computation. Real flights, a real champion in a real MLflow, and partitions that land again.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import copy
import shutil
from datetime import date, timedelta

import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.data.validation import validate_window
from evergreen.data.window import DayRange
from evergreen.monitoring.quality import measure_quality
from evergreen.scoring.scoring import score_partition
from evergreen.spec.modeling import SliceGate
from evergreen.spec.monitoring import Quality
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace
from models.flight_delay import feed
from tests.conftest import AS_OF
from tests.support.night import Night

FIRST = AS_OF.date()
SCORED = [FIRST + timedelta(days=n) for n in range(10)]


class Past:
    """A champion of 1 March, ten scored days, and labels that come when the test says."""

    def __init__(self, night: Night) -> None:
        self.night, self.store, self.client = night, night.store, night.client
        quality = Quality(window_days=3, lookback_days=14, delay_days=1, min_rows=50)
        self.spec = night.spec.model_copy(update={"quality": quality})
        feed.land_days(self.store, SCORED, replace=frozenset())
        self.whole = {day: self.raw(day) for day in SCORED}
        for day in SCORED:
            self.land(day, self.without_labels(day))
            self.score(day)

    def raw(self, day: date) -> pd.DataFrame:
        return from_parquet(self.store.get(f"raw/flights/{day}.parquet"))

    def land(self, day: date, rows: pd.DataFrame) -> None:
        self.store.put(f"raw/flights/{day}.parquet", to_parquet(rows))

    def without_labels(self, day: date) -> pd.DataFrame:
        rows = self.whole[day]
        later = ["arr_delay", "arrived_at"]
        return rows.assign(**{name: rows[name].mask(rows["flight"].notna()) for name in later})

    def score(self, day: date) -> None:
        as_of = AS_OF + timedelta(days=(day - FIRST).days + 1)
        span = DayRange(first=day, end=day + timedelta(days=1))
        held = validate_window(self.store, self.spec, as_of=as_of, days=span, serving=True)
        score_partition(Workspace(self.store, self.client, self.spec), as_of=as_of, validation=held)

    def measure(self, days: int = len(SCORED)):
        return measure_quality(
            Workspace(self.store, self.client, self.spec), as_of=AS_OF + timedelta(days=days)
        )

    def directly(self, first: date, last: date, *, as_of, labels) -> tuple[int, float, float]:
        """Rows, ROC-AUC and Brier from predictions and raw labels, by pandas and scikit-learn."""
        found = []
        for day in SCORED:
            if first <= day <= last and day in labels:
                folder = f"predictions/{self.spec.model}/{day}"
                (key,) = [k for k in self.store.list(folder) if k.endswith(".parquet")]
                said = from_parquet(self.store.get(key))
                came = self.whole[day][self.whole[day]["arr_delay"].notna()]
                came = came[came["arrived_at"] <= as_of]
                found.append(said.merge(came, on=list(self.spec.examples.entity_key)))
        rows = pd.concat(found)
        late = rows["arr_delay"] > 15
        return len(rows), roc_auc_score(late, rows["score"]), brier_score_loss(late, rows["score"])


@pytest.fixture(scope="module")
def past(serving, tmp_path_factory) -> Past:
    """Scored once; each test lands labels of its own into a copy."""
    root = tmp_path_factory.mktemp("late") / "store"
    shutil.copytree(serving.store.root, root)
    shutil.rmtree(root / "predictions", ignore_errors=True)  # of tests that scored these days
    return Past(Night(FolderStore(root), serving.client, serving.spec))


@pytest.fixture
def late(past, tmp_path) -> Past:
    shutil.copytree(past.store.root, tmp_path / "store")
    mine = copy.copy(past)
    mine.store = FolderStore(tmp_path / "store")
    return mine


def check(past: Past, found, labels: set[date], *, days: int) -> int:
    """Hold every window with labels against the direct computation; return how many there were."""
    held = 0
    for window in found.windows:
        if not any(window.first <= day <= window.last for day in labels):
            assert window.labelled == 0
            assert window.metrics["roc_auc"] is None
            continue
        as_of = AS_OF + timedelta(days=days)
        rows, auc, brier = past.directly(window.first, window.last, as_of=as_of, labels=labels)
        assert window.labelled == rows
        assert window.metrics["roc_auc"] == pytest.approx(auc, abs=1e-12)
        assert window.metrics["brier_loss"] == pytest.approx(brier, abs=1e-12)
        held += 1
    return held


def test_before_any_label_everything_is_estimated_and_nothing_measured(late):
    found = late.measure()

    assert found.colour == "unknown"
    assert all(w.metrics["roc_auc"] is None for w in found.windows)
    assert all(0.5 < w.estimated["roc_auc"] < 1 for w in found.windows)


def test_labels_that_come_late_out_of_order_and_twice_give_the_direct_numbers(late):
    labels: set[date] = set()
    late.measure()
    for day in [SCORED[i] for i in (4, 0, 7, 2, 1, 8, 3, 6, 5)]:
        late.land(day, late.whole[day])
        labels.add(day)
        found = late.measure()
        assert check(late, found, labels, days=10) >= 1
        touched = [w for w in found.windows if w.first <= day <= w.last]
        # Its own windows, and the estimates of later ones that it calibrates.
        assert len(touched) <= found.remeasured <= len([w for w in found.windows if w.last >= day])

    for day in SCORED[:3]:  # the same file again
        late.land(day, late.whole[day])
    again = late.measure()

    assert again.windows == found.windows
    assert again.remeasured == 0


def test_each_slice_has_its_own_name_and_numbers(late):
    for day in SCORED:
        late.land(day, late.whole[day])
    rule = SliceGate(columns=("origin",), min_rows=50)
    gates = late.spec.gates.model_copy(update={"slices": rule})
    late.spec = late.spec.model_copy(update={"gates": gates})

    found = late.measure()

    values = {one.name: (one.rows, one.value) for one in found.slices}
    assert set(values) == {"origin=EWR", "origin=JFK", "origin=LGA"}
    assert len(set(values.values())) == 3
    assert all(0 < value < 1 for _, value in values.values())
    labelled = [window.labelled for window in found.windows]
    assert sum(rows for rows, _ in values.values()) in labelled[-2:]  # the newest may not be due


def test_seven_days_late_they_still_count(late):
    for day in SCORED[1:]:
        late.land(day, late.whole[day])
    before = late.measure()
    late.land(SCORED[0], late.whole[SCORED[0]])
    after = late.measure()

    assert check(late, before, set(SCORED[1:]), days=10) == 10 - 1
    assert check(late, after, set(SCORED), days=10) == 10
    changed = [
        b.last for a, b in zip(before.windows, after.windows, strict=True) if a.metrics != b.metrics
    ]
    assert changed == SCORED[:3]


def test_a_corrected_label_replaces_the_one_before(late):
    for day in SCORED:
        late.land(day, late.whole[day])
    before = late.measure()
    day = SCORED[3]
    late.whole = late.whole | {day: late.whole[day].assign(arr_delay=-late.whole[day]["arr_delay"])}
    late.land(day, late.whole[day])
    after = late.measure()

    assert check(late, after, set(SCORED), days=10) == 10
    assert before.windows[3].metrics != after.windows[3].metrics


def test_a_label_that_came_after_as_of_is_not_known_then(late):
    """A replay of the fifth day must not see what landed since."""
    for day in SCORED:
        late.land(day, late.whole[day])

    found = late.measure(days=5)

    assert [w.last for w in found.windows] == SCORED[:5]
    assert check(late, found, set(SCORED[:5]), days=5) == 5
    assert found.windows[-1].labelled < late.measure().windows[4].labelled


def test_labels_that_are_due_and_do_not_come_are_an_alarm_and_only_that(late):
    for day in SCORED[:8]:
        late.land(day, late.whole[day])

    quiet = late.measure(days=9)  # the ninth day's are not due yet
    loud = late.measure(days=10)

    assert (quiet.colour, quiet.late) == ("green", ())
    assert loud.colour == "amber"
    assert [found.day for found in loud.late] == [SCORED[8]]
    assert [reason.partition(":")[0] for reason in loud.reasons] == ["labels"]


def test_a_model_that_is_worse_than_its_floor_asks_for_a_retrain(late):
    for day in SCORED:
        wrong = late.whole[day].assign(arr_delay=-late.whole[day]["arr_delay"])
        late.land(day, wrong)

    found = late.measure()

    assert found.colour == "red"
    assert found.requests_retrain
    assert "the floor is 0.58" in found.reasons[0]
    assert "is no better than a constant" in found.reasons[1]


def test_what_a_version_promised_is_beside_what_it_kept(late):
    for day in SCORED:
        late.land(day, late.whole[day])

    (version,) = late.measure().versions

    rows, auc, _ = late.directly(
        SCORED[0], SCORED[-1], as_of=AS_OF + timedelta(days=10), labels=set(SCORED)
    )
    assert version.version == late.night.ledger().champion.version
    assert (version.days, version.rows) == (10, rows)
    assert version.realised == pytest.approx(auc, abs=1e-12)
    assert (
        version.offline
        == late.night.evaluation(late.night.examples()).metrics["challenger"]["roc_auc"]
    )
