"""Gates gate: what is worse, equal, broken or unmeasured never passes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.conftest import AS_OF

from evergreen import metrics
from evergreen.evaluation import Judged, check_gates, rank
from evergreen.receipts import CandidateReceipt
from evergreen.spec.policy import Gates, SliceGate


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    late = rng.random(3000) < 0.3
    origin = np.where(np.arange(3000) < 2900, rng.choice(["EWR", "JFK"], 3000), "LGA")
    return pd.DataFrame({"is_late": late, "origin": origin})


def judged(rows: pd.DataFrame, noise: float, *, seed: int = 1, **changes) -> Judged:
    """Scores that know the label up to *noise*; calibrated enough for the default gate."""
    labels = rows["is_late"].to_numpy()
    raw = labels + np.random.default_rng(seed).normal(0, noise, len(labels))
    scores = np.clip(0.3 + 0.3 * (raw - raw.mean()) / (1 + noise), 0.01, 0.99)
    return Judged(scores=scores, metrics=metrics.measure(labels, scores) | changes, ms_per_row=0.01)


@pytest.fixture
def failed(spec, rows):
    """Which gates fail for a challenger."""

    def names(challenger, *, champion=None, gates=None, artefact_bytes=1_000) -> list[str]:
        checks = check_gates(
            spec.model_copy(update={"gates": gates or spec.gates}),
            rows=rows,
            challenger=challenger,
            baseline=judged(rows, 0, roc_auc=0.5),
            champion=champion,
            artefact_bytes=artefact_bytes,
        )
        return [check.name for check in checks if check.status == "failed"]

    return names


def test_a_better_challenger_passes_everything(failed, rows):
    assert failed(judged(rows, 0.8), champion=judged(rows, 2.0)) == []


def test_the_first_challenger_needs_no_champion(failed, rows):
    assert failed(judged(rows, 0.8)) == []


def test_a_worse_challenger_misses(failed, rows):
    assert "roc_auc over the champion" in failed(judged(rows, 2.0), champion=judged(rows, 0.8))


def test_ties_keep_the_champion(failed, rows):
    same = judged(rows, 0.8)

    assert failed(same, champion=same) == ["roc_auc over the champion"]


def test_an_equal_challenger_misses(failed, rows):
    equal = judged(rows, 1.0, seed=2)

    assert failed(equal, champion=judged(rows, 1.0, seed=1)) == ["roc_auc over the champion"]


def test_a_challenger_no_better_than_the_baseline_misses(failed, rows):
    assert "roc_auc over the baseline" in failed(judged(rows, 50.0))


def test_a_metric_that_is_no_number_misses(failed, rows):
    missed = failed(judged(rows, 0.8, roc_auc=math.nan))

    assert missed == ["roc_auc alone", "roc_auc over the baseline"]


def test_time_size_and_rows_are_gates(failed, rows):
    slow = judged(rows, 0.8)
    slow = Judged(scores=slow.scores, metrics=slow.metrics, ms_per_row=math.nan)
    gates = Gates(min_test_rows=5000)

    missed = failed(slow, gates=gates, artefact_bytes=200_000_000)

    assert missed == ["rows to judge on", "prediction time, ms a row", "artefact size, MB"]


def test_a_slice_that_falls_behind_misses_and_a_small_one_is_unknown(spec, rows):
    champion, challenger = judged(rows, 1.5), judged(rows, 0.5)
    behind = rows["origin"].to_numpy() == "JFK"
    challenger.scores[behind] = 0.3
    gates = Gates(slices=SliceGate(columns=["origin"], min_rows=200))

    checks = check_gates(
        spec.model_copy(update={"gates": gates}),
        rows=rows, challenger=challenger, baseline=judged(rows, 0, roc_auc=0.5),
        champion=champion, artefact_bytes=1,
    )  # fmt: skip
    states = {c.name: c.status for c in checks if c.name.startswith("slice")}

    assert states == {
        "slice origin=EWR": "passed",
        "slice origin=JFK": "failed",
        "slice origin=LGA": "unknown",
    }


def receipt(candidate: str, roc_auc: float) -> CandidateReceipt:
    return CandidateReceipt(
        model="m", as_of=AS_OF, candidate=candidate, key="k", run_id="r", model_id="i",
        artefact_sha256="s", artefact_bytes=1, params={}, validation={"roc_auc": roc_auc},
    )  # fmt: skip


def test_the_best_on_the_validation_days_is_the_challenger(spec):
    found = rank(spec, [receipt("a", 0.6), receipt("b", 0.7), receipt("baseline", 0.9)])

    assert found.candidate == "b"
