"""
Measure a challenger, the champion and the baselines on the same rows, and check every gate.

A gate that cannot be measured is failed, not skipped; a slice that is too small to tell is unknown
and says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evergreen.data.preparation import load_examples, load_training
from evergreen.errors import ArtifactError, CandidateError
from evergreen.modeling import metrics
from evergreen.modeling.artifacts import load_model, load_version
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.false_promotions import EvaluationLevel, level_of
from evergreen.modeling.gate_inputs import GateInputs, ModelScores
from evergreen.modeling.gates import check_gates
from evergreen.modeling.metrics import Labels, classes_among
from evergreen.modeling.model_scores import score_champion, score_model
from evergreen.modeling.prediction import are_sound
from evergreen.modeling.sanity import Sanity, check_sanity
from evergreen.receipts.common import Check
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import (
    Bin,
    CandidateReceipt,
    Curves,
    EvaluationDetails,
    EvaluationReceipt,
)
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import VersionToBeat
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.spec.modeling import BASELINE
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import document_bytes, ref_once

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

#: The compared models, as a reader wants to see them.
ORDER = ("challenger", "champion", "linear baseline", "trivial baseline")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """
    Who is compared, and on which examples.

    :param best: The challenger.
    :param candidates: All that were fitted with it, the linear baseline among them.
    :param examples: All are measured on their test days.
    :param champion: The version to beat; None if there is none yet.
    """

    best: CandidateReceipt
    candidates: Sequence[CandidateReceipt]
    examples: ExamplesReceipt
    champion: VersionToBeat | None

    def record_key(self, model: str) -> str:
        """Return where the evaluation is kept."""
        against = self.champion.version if self.champion else "none"
        return layout.evaluation_record(model, self.best.key, against)


def comparison_level(
    store: ObjectStore, spec: ModelSpec, comparison: Comparison, *, keep: bool
) -> EvaluationLevel | None:
    """
    Return how often the evaluation of *comparison* may promote an equal challenger.

    :param keep: Whether it counts for later evaluations, as one does that may promote.
    :return: None if there is no champion to be equal to, or no limit.
    """
    if comparison.champion is None:
        return None
    return level_of(
        store,
        spec.model,
        spec.gates.champion,
        as_of=comparison.examples.as_of,
        challenger=comparison.best.key,
        against=comparison.champion.version,
        keep=keep,
    )


def load_models(
    fitted: MlflowClient, serving: MlflowClient, spec: ModelSpec, comparison: Comparison
) -> dict[str, Pipeline | ArtifactError]:
    """
    Return the models of *comparison* by who they are, each checked against its digest.

    A champion that cannot be loaded is there as the error that says why.

    :param fitted: The registry that holds the candidates.
    :param serving: The registry that holds the champion.
    :raises CandidateError: If the baseline is not among the candidates.
    :raises ArtifactError: If one of the candidates cannot be loaded.
    """
    linear = next((c for c in comparison.candidates if c.candidate == BASELINE), None)
    if linear is None:
        raise CandidateError("The baseline was not fitted, so no gate can be checked.")
    models: dict[str, Pipeline | ArtifactError] = {
        "challenger": load_candidate(fitted, spec, comparison.best),
        "linear baseline": load_candidate(fitted, spec, linear),
    }
    if comparison.champion is not None:
        models["champion"] = _serving(serving, spec, comparison.champion)
    return models


def load_candidate(client: MlflowClient, spec: ModelSpec, of: CandidateReceipt) -> Pipeline:
    """Return the pipeline a training task logged, checked against the digest in its receipt."""
    return load_model(client, of.model_id, sha256=of.artifact_sha256, trusted=spec.trusted_types)


def compare(
    store: ObjectStore,
    spec: ModelSpec,
    models: Mapping[str, Pipeline | ArtifactError],
    comparison: Comparison,
    *,
    keep: bool = True,
    level: EvaluationLevel | None = None,
) -> tuple[EvaluationReceipt, bytes]:
    """
    Hold all *models* against every gate on the same test rows.

    :param store: Where the examples are.
    :param models: As :func:`load_models` returns them.
    :param keep: Whether the answers of :func:`~evergreen.modeling.sanity.check_sanity` are kept;
        nothing else is written.
    :param level: How often this evaluation may promote an equal challenger; None leaves that to the
        confidence in the spec.
    :return: The evaluation, and the content of its details, which belongs under its digest.
    """
    test = load_examples(store, spec, receipt=comparison.examples, segments=("test",))
    train, _ = load_training(store, spec, receipt=comparison.examples)
    label = spec.examples.label
    classes = classes_among(spec.examples, train[label], test[label])
    truth = Labels.of(test, spec=spec.examples, classes=classes)
    scored = {
        name: (score_champion if name == "champion" else score_model)(
            model, rows=test, spec=spec, classes=classes
        )
        for name, model in models.items()
    }
    scored["trivial baseline"] = _trivial(spec, train, truth)
    key, sanity = comparison.best.key, Sanity()
    if are_sound(scored["challenger"].predictions, spec=spec.examples):
        sanity = check_sanity(
            store, spec, models["challenger"], key=key, train=train, test=test, keep=keep
        )
    inputs = GateInputs(
        test=test,
        train=train,
        truth=truth,
        challenger=scored["challenger"],
        trivial=scored["trivial baseline"],
        linear=scored["linear baseline"],
        champion=scored.get("champion"),
        artifact_bytes=comparison.best.artifact_bytes,
        shuffled=sanity.shuffled_gains,
        importances=sanity.importances,
        level=level,
    )
    gates, details = check_gates(spec, inputs), _details(truth, scored, sanity)
    return _receipt(spec, comparison, scored, gates, details=details, rows=len(test)), details


def _receipt(
    spec: ModelSpec,
    comparison: Comparison,
    scored: Mapping[str, ModelScores],
    gates: Sequence[Check],
    *,
    details: bytes,
    rows: int,
) -> EvaluationReceipt:
    champion, key = comparison.champion, comparison.record_key(spec.model)
    return EvaluationReceipt(
        model=spec.model,
        as_of=comparison.examples.as_of,
        challenger=comparison.best,
        candidates=tuple(comparison.candidates),
        champion_version=champion.version if champion else None,
        record_key=key,
        test_rows=rows,
        metrics={name: _finite(scored[name].metrics) for name in ORDER if name in scored},
        gates=tuple(gates),
        passed=all(gate.status != "failed" for gate in gates),
        details=ref_once(key.removesuffix(".json"), details, suffix=".json"),
        predict_ms_per_row=_number(scored["challenger"].ms_per_row),
        predict_ms_per_call=_number(scored["challenger"].ms_per_call),
    )


def _serving(
    client: MlflowClient, spec: ModelSpec, champion: VersionToBeat
) -> Pipeline | ArtifactError:
    """Return the champion, or why it cannot be used."""
    who = f"Version {champion.version} of {spec.model}, the champion"
    if champion.registered is None:
        return ArtifactError(f"{who}, is not in MLflow any more.")
    try:
        sha256 = mlflow_registry.tag(champion.registered, mlflow_registry.TAG_SHA256)
        return load_version(client, spec, champion.registered, sha256=sha256)
    except ArtifactError as error:
        return ArtifactError(f"{who}: {error}")


def _trivial(spec: ModelSpec, train: pd.DataFrame, truth: Labels) -> ModelScores:
    known = Labels.of(train, spec=spec.examples, classes=truth.classes)
    predicted = trivial_baseline(known, rows=len(truth))
    return ModelScores(predictions=predicted, metrics=metrics.measure(truth, predicted))


def _details(truth: Labels, scored: Mapping[str, ModelScores], sanity: Sanity) -> bytes:
    shown = [name for name in ("challenger", "champion") if name in scored]
    details = EvaluationDetails(
        curves={name: _curves(truth, scored[name]) for name in shown},
        importances=sanity.importances,
        groups=sanity.groups,
        explanation=sanity.explanation,
    )
    return document_bytes(details)


def _finite(found: Mapping[Metric, float]) -> dict[str, float | None]:
    """Return *found* for a receipt: JSON has no NaN, and None is no number either."""
    return {name: _number(value) for name, value in found.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _curves(truth: Labels, scored: ModelScores) -> Curves:
    if not np.isfinite(scored.predictions).all():
        return Curves(calibration=(), lift=())
    groups = metrics.calibration_curve(truth, scored.predictions)
    return Curves(
        calibration=tuple(
            Bin(predicted=predicted, actual=actual, rows=rows) for predicted, actual, rows in groups
        ),
        lift=tuple(metrics.lift_curve(truth, scored.predictions)),
    )
