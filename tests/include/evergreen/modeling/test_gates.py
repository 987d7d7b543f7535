"""Gates gate: what is worse, equal, broken or unmeasured never passes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.conftest import AS_OF

from evergreen.modeling import gates as rules
from evergreen.modeling import metrics
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.evaluation import select_challenger
from evergreen.modeling.gate_inputs import GateInputs, ModelScores
from evergreen.modeling.gates import check_gates
from evergreen.modeling.metrics import Labels
from evergreen.receipts.modeling import CandidateReceipt, Importance
from evergreen.spec.modeling import BaselineGate, Gates, SanityGate, SliceGate

ROWS = 3000


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    late = rng.random(ROWS) < 0.3
    origin = np.where(np.arange(ROWS) < 2900, rng.choice(["EWR", "JFK"], ROWS), "LGA")
    return pd.DataFrame(
        {
            "is_late": late,
            "origin": origin,
            "distance": rng.normal(size=ROWS),
            "id": np.arange(ROWS),
            "event_time": pd.Timestamp("2013-03-01", tz="UTC")
            + pd.to_timedelta(np.arange(ROWS) % 7, unit="D"),
        }
    )


@pytest.fixture
def spec(spec):
    """The sample with two inputs, so that the rows above are whole examples."""
    inputs = {"numeric": ("distance",), "categorical": ("origin",), "entity_key": ("id",)}
    gates = Gates(floors={"roc_auc": 0.58}, slices=SliceGate(columns=("origin",)))
    return spec.model_copy(
        update={"examples": spec.examples.model_copy(update=inputs), "gates": gates}
    )


def judged(rows: pd.DataFrame, noise: float, *, seed: int = 1, **changes) -> ModelScores:
    """Scores that know the label up to *noise*; calibrated enough for the default gate."""
    labels = rows["is_late"].to_numpy()
    raw = labels + np.random.default_rng(seed).normal(0, noise, len(labels))
    scores = np.clip(0.3 + 0.3 * (raw - raw.mean()) / (1 + noise), 0.01, 0.99)
    found = metrics.measure(Labels(problem="binary", values=labels), scores)
    return ModelScores(predictions=scores, metrics=found | changes, ms_per_row=0.01)


@pytest.fixture
def contest(spec, rows):
    """A contest that a clearly better challenger wins; tests change one thing in it."""
    truth = Labels.of(rows, spec=spec.examples)
    said = trivial_baseline(truth, rows=len(rows))
    return GateInputs(
        test=rows,
        train=rows.assign(id=rows["id"] + ROWS),
        truth=truth,
        challenger=judged(rows, 0.8),
        trivial=ModelScores(predictions=said, metrics=metrics.measure(truth, said)),
        linear=judged(rows, 1.5, seed=5),
        champion=judged(rows, 2.0),
        artifact_bytes=1_000,
        shuffled=(0.01, -0.02, 0.005) * 3 + (0.0,),
        importances=(Importance(name="distance", cost=0.1, error=0.001),),
    )


@pytest.fixture
def failed(spec, contest):
    """Which gates fail when something about the contest, or the spec's gates, is different."""

    def names(*, gates=None, **changes) -> list[str]:
        asked = spec if gates is None else spec.model_copy(update={"gates": gates})
        checks = check_gates(asked, replace(contest, **changes))
        return [check.name for check in checks if check.status == "failed"]

    return names


def test_a_better_challenger_passes_everything(failed):
    assert failed() == []


def test_the_first_challenger_needs_no_champion(failed):
    assert failed(champion=None) == []


def test_a_worse_challenger_misses(failed, rows):
    assert "roc_auc over the champion" in failed(champion=judged(rows, 0.5))


def test_ties_keep_the_champion(failed, contest):
    assert failed(champion=contest.challenger) == ["roc_auc over the champion"]


def test_an_equal_challenger_misses(failed, rows):
    equal = judged(rows, 0.8, seed=2)

    assert failed(champion=equal) == ["roc_auc over the champion"]


def test_a_challenger_no_better_than_the_trivial_baseline_misses(failed, rows):
    poor = judged(rows, 50.0)

    assert "roc_auc over the trivial baseline" in failed(challenger=poor, champion=None)


def test_a_challenger_behind_a_plain_linear_model_misses(failed, rows):
    linear = judged(rows, 0.5, seed=5)

    assert failed(linear=linear) == ["roc_auc over the linear baseline"]
    assert failed(linear=linear, gates=Gates(baseline=BaselineGate(linear=-1))) == []


def test_a_metric_that_is_no_number_misses(failed, rows):
    missed = failed(challenger=judged(rows, 0.8, roc_auc=math.nan))

    assert missed == [
        "roc_auc alone",
        "roc_auc over the trivial baseline",
        "roc_auc over the linear baseline",
    ]


def test_a_metric_that_was_not_measured_misses(failed, contest):
    less = replace(contest.challenger, metrics={})

    assert "roc_auc over the trivial baseline" in failed(challenger=less)


def test_predictions_that_are_no_numbers_miss_against_the_champion(failed, contest):
    broken = contest.challenger.predictions.copy()
    broken[7] = math.nan

    missed = failed(challenger=replace(contest.challenger, predictions=broken))

    assert {"roc_auc over the champion", "calibration error"} <= set(missed)


def test_a_champion_without_numbers_is_beaten_by_one_with_numbers(failed, contest):
    broken = replace(contest.champion, predictions=contest.champion.predictions * math.nan)
    also = replace(contest.challenger, predictions=contest.challenger.predictions * math.nan)

    assert failed(champion=broken) == []
    assert "roc_auc over the champion" in failed(champion=broken, challenger=also)


def test_test_days_with_one_class_pass_no_gate_that_measures(spec, contest):
    alike = Labels(problem="binary", values=np.zeros(ROWS, dtype=bool))

    found = check_gates(spec, replace(contest, truth=alike))

    not_measuring = {
        "rows to evaluate on",
        "roc_auc alone",  # measured before
        "prediction time, ms a row",
        "artifact size, MB",
        "leak: test events seen in training",
        "inputs that add nothing",
    }
    assert {c.name for c in found if c.status == "passed"} <= not_measuring
    assert "roc_auc over the champion" in {c.name for c in found if c.status == "failed"}


def test_time_size_and_rows_are_gates(failed, contest):
    slow = replace(contest.challenger, ms_per_row=math.nan)
    gates = Gates(min_test_rows=5000)

    missed = failed(challenger=slow, gates=gates, artifact_bytes=200_000_000)

    assert missed == ["rows to evaluate on", "prediction time, ms a row", "artifact size, MB"]


def test_calibration_may_be_as_bad_as_the_champions_but_no_worse(failed, contest):
    off = replace(contest.challenger, predictions=contest.challenger.predictions * 0.1)
    also_off = replace(contest.champion, predictions=contest.champion.predictions * 0.1)

    assert "calibration error" in failed(challenger=off)
    assert "calibration error" in failed(challenger=off, champion=None)
    assert "calibration error" not in failed(
        challenger=off, champion=replace(also_off, predictions=also_off.predictions * 0.1)
    )


def test_a_slice_that_falls_behind_misses_and_a_small_one_is_unknown(spec, contest, rows):
    behind = contest.challenger.predictions.copy()
    behind[rows["origin"].to_numpy() == "JFK"] = 0.3
    challenger = replace(contest.challenger, predictions=behind)

    checks = check_gates(spec, replace(contest, challenger=challenger))
    states = {c.name: c.status for c in checks if c.name.startswith("slice")}

    assert states == {
        "slice origin=EWR": "passed",
        "slice origin=JFK": "failed",
        "slice origin=LGA": "unknown",
    }


def test_learning_from_shuffled_labels_misses(failed):
    name = "leak: learns from shuffled labels"

    assert failed(shuffled=(0.2, 0.21, 0.19, 0.2, 0.2) * 2) == [name]
    assert failed(shuffled=(0.3, -0.3, 0.1, -0.1, 0.0) * 2) == []  # either way, not on average
    assert failed(shuffled=(0.2, math.nan, 0.19, 0.2, 0.2) * 2) == [name]
    assert failed(shuffled=(0.2, 0.21, 0.19)) == [name]  # three of ten ran


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_labels_that_could_not_be_told_do_not_pass(spec, contest, seed):
    """With three shuffles that scatter as on the flights, only a gain near 0.5 would be seen."""
    gains = tuple(np.random.default_rng(seed).normal(0, 0.085, 3))
    three = spec.gates.model_copy(update={"sanity": SanityGate(shuffles=3)})
    reach = 9.925 * np.std(gains, ddof=1) / np.sqrt(3)

    found = next(
        check
        for check in check_gates(
            spec.model_copy(update={"gates": three}), replace(contest, shuffled=gains)
        )
        if check.name == "leak: learns from shuffled labels"
    )

    is_known = bool(reach <= 0.25 and np.mean(gains) <= reach)
    assert found.status == ("passed" if is_known else "failed")
    assert ("not measured" in found.measured) == (reach > 0.25)


def test_at_the_default_a_leak_of_a_fifth_is_found_and_honest_pipelines_pass(spec, contest):
    """In both directions, with gains that scatter as on the flights: n = 200 each."""
    rng = np.random.default_rng(0)

    def is_refused(mean: float) -> bool:
        gains = tuple(rng.normal(mean, 0.085, 10))
        (found,) = rules.GATES["shuffled labels"](spec, replace(contest, shuffled=gains))
        return found.status == "failed"

    asked = [[is_refused(mean) for _ in range(200)] for mean in (0.0, 0.2)]

    refused, found = map(sum, asked)
    assert refused <= 0.02 * 200
    assert found >= 0.95 * 200


def test_a_sanity_question_that_was_not_asked_misses(failed):
    assert failed(shuffled=()) == ["leak: learns from shuffled labels"]
    assert failed(importances=()) == ["inputs that add nothing"]


def test_inputs_that_add_nothing_are_named(spec, contest):
    worths = (
        Importance(name="useful", cost=0.1, error=0.01),
        Importance(name="noise", cost=0.01, error=0.01),
        Importance(name="harmful", cost=-0.1, error=0.01),
    )

    found = check_gates(spec, replace(contest, importances=worths))[-1]

    assert (found.status, found.measured) == ("passed", "2 of 3: harmful, noise")


@pytest.mark.parametrize("name", rules.GATES)
def test_a_gate_that_gives_no_answer_misses(failed, monkeypatch, name):
    monkeypatch.setitem(rules.GATES, name, lambda spec, contest: iter(()))

    assert failed() == [name]


def test_every_gate_is_on_without_a_word_in_the_spec(spec, contest):
    checks = check_gates(spec.model_copy(update={"gates": Gates()}), contest)

    assert [check.name for check in checks] == [
        "rows to evaluate on",
        "roc_auc alone",
        "roc_auc over the trivial baseline",
        "roc_auc over the linear baseline",
        "roc_auc over the champion",
        "slices",
        "calibration error",
        "predicted over actual frequency",
        "prediction time, ms a row",
        "artifact size, MB",
        "leak: test events seen in training",
        "leak: an input that is the label",
        "leak: learns from shuffled labels",
        "inputs that add nothing",
    ]
    assert [check.name for check in checks if check.status == "unknown"] == [
        "roc_auc alone",
        "slices",
    ]


def receipt(candidate: str, roc_auc: float) -> CandidateReceipt:
    return CandidateReceipt(
        model="m",
        as_of=AS_OF,
        candidate=candidate,
        key="k",
        run_id="r",
        model_id="i",
        trials=0,
        artifact_sha256="s",
        artifact_bytes=1,
        params={},
        validation={"roc_auc": roc_auc},
    )


def test_the_best_on_the_validation_days_is_the_challenger(spec):
    candidates = [receipt("a", 0.6), receipt("b", 0.7), receipt("baseline", 0.9)]
    found = select_challenger(spec, candidates)

    assert found.candidate == "b"
