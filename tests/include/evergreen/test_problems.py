"""Regression and several classes go the whole way too: trained, judged, served, scored."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from tests.conftest import AS_OF

from evergreen.data.parquet import from_parquet
from evergreen.data.validation import validate_window
from evergreen.data.window import DayRange, scoring_day
from evergreen.monitoring.quality import measure_quality
from evergreen.scoring.scoring import score_partition
from evergreen.spec.data import Examples
from evergreen.spec.modeling import CandidateSpec, Gates, SliceGate
from evergreen.workspace import Workspace

A_DAY = timedelta(days=1)

PIPELINES = """
from sklearn.ensemble import HistGradientBoostingRegressor, HistGradientBoostingClassifier


def _trees(examples, model):
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("names", codes, list(examples.categorical))],
                                remainder="passthrough")
    return Pipeline([("columns", columns), ("model", model)])


def minutes(examples, *, seed):
    return _trees(examples, HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=80, min_samples_leaf=50, random_state=seed))


def band(examples, *, seed):
    return _trees(examples, HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=8, min_samples_leaf=50, random_state=seed))
"""
LABELS = {
    "regression": 'f["arr_delay"].astype("float64")',
    "multiclass": 'f["arr_delay"].map('
    'lambda m: "early" if m < 0 else "soon" if m <= 15 else "late", na_action="ignore")',
}


@pytest.fixture
def night_of(night, tmp_path):
    """The sample with another question about the same flights."""

    def make(problem: str, candidate: str):
        folder = tmp_path / "code" / "models" / night.spec.model
        with (folder / "pipeline.py").open("a") as code:
            code.write(PIPELINES)
        prepare = (folder / "prepare.py").read_text()
        (folder / "prepare.py").write_text(
            prepare + "\n\nbinary = prepare\n\n\ndef prepare(raw, day):\n"
            "    frame, f = binary(raw, day), raw['flights']\n"
            f"    label = pd.Series(({LABELS[problem]}).to_numpy(), index=f.index)\n"
            "    key = ['carrier', 'flight', 'origin', 'scheduled_departure']\n"
            "    asked = f[key].assign(answer=label)\n"
            "    frame = frame.merge(asked, on=key, how='left', validate='one_to_one')\n"
            "    frame['answer'] = frame['answer'].where(frame['known_at'].notna())\n"
            "    return frame.drop(columns='is_late')\n"
        )
        examples = night.spec.examples.model_dump() | {"label": "answer", "problem": problem}
        night.spec = night.spec.model_copy(
            update={
                "examples": Examples.model_validate(examples),
                "candidates": {candidate: CandidateSpec()},
                "gates": Gates(slices=SliceGate(columns=("origin",)), max_calibration_error=0.5),
            }
        )
        return night

    return make


def scored(night):
    day = scoring_day(AS_OF)
    days = DayRange(first=day, end=AS_OF.date())
    validation = validate_window(night.store, night.spec, as_of=AS_OF, days=days)
    receipt = score_partition(
        Workspace(night.store, night.client, night.spec), as_of=AS_OF, validation=validation
    )
    return receipt, from_parquet(night.store.get(receipt.predictions.key))


def test_a_regression_is_judged_by_its_absolute_error(night_of):
    night = night_of("regression", "minutes")

    evaluation = night.evaluation(night.examples())

    gates = {gate.name: gate.status for gate in evaluation.gates}
    assert night.spec.metric == "mean_absolute_error"
    assert gates["mean_absolute_error over the trivial baseline"] == "passed"
    assert gates["leak: an input that is the label"] == "passed"
    assert gates["leak: learns from shuffled labels"] == "passed"
    found = evaluation.metrics
    # The median is the best constant, so whatever beats it has learnt something.
    assert (
        found["challenger"]["mean_absolute_error"]
        < (found["trivial baseline"]["mean_absolute_error"])
    )


def test_several_classes_are_judged_by_log_loss(night_of):
    night = night_of("multiclass", "band")

    evaluation = night.evaluation(night.examples())

    assert night.examples().classes["test"].keys() == {"early", "late", "soon"}
    assert night.spec.metric == "log_loss"
    gates = {gate.name: gate.status for gate in evaluation.gates}
    assert gates["log_loss over the trivial baseline"] == "passed"
    assert (
        evaluation.metrics["trivial baseline"]["accuracy"]
        < (evaluation.metrics["challenger"]["accuracy"])
    )


@pytest.mark.parametrize(
    ("problem", "candidate"), [("regression", "minutes"), ("multiclass", "band")]
)
def test_a_champion_of_another_kind_serves_and_scores(night_of, problem, candidate):
    night = night_of(problem, candidate)
    night.spec = night.spec.model_copy(
        update={"gates": Gates(baseline={"trivial": 0, "linear": -1}, max_calibration_error=1)}
    )
    before = night.at(AS_OF - A_DAY)

    assert before.deployment().moved is True
    equal = night.at(AS_OF - A_DAY, limits=("The same again.",)).registration()
    receipt, table = scored(night)

    assert equal.passed is False  # ties keep the champion, whatever the metric
    assert receipt.version == "1"
    if problem == "regression":
        assert np.isfinite(table["score"]).all()
    else:
        columns = ["score_early", "score_late", "score_soon"]
        assert np.allclose(table[columns].sum(axis=1), 1)
        assert set(table["predicted_class"]) <= {"early", "late", "soon"}
    assert_the_first_day_is_measured(night)


def assert_the_first_day_is_measured(night) -> None:
    """No day was scored before it, so nothing calibrates its estimate."""
    (window,) = measure_quality(night.workspace, as_of=AS_OF).windows

    assert window.is_calibrated is False
    estimates = set(window.estimated.values())
    assert (estimates == {None}) == (night.spec.examples.problem == "regression")
