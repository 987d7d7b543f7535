"""
Evaluate the best candidate once, on unseen days, beside the champion and the baseline.

Everything is measured on the same rows. A gate that cannot be measured is failed, not skipped; a
slice that is too small to tell is unknown and says so.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evergreen.data.preparation import load_examples, load_training
from evergreen.errors import CandidateError
from evergreen.modeling import metrics
from evergreen.modeling.artifacts import load_model
from evergreen.modeling.baselines import trivial_baseline
from evergreen.modeling.gates import GateInputs, ModelScores, check_gates
from evergreen.modeling.metrics import Labels, classes_among
from evergreen.modeling.prediction import are_sound, predict
from evergreen.modeling.sanity import Sanity, check_sanity
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import (
    Bin,
    CandidateReceipt,
    Curves,
    EvaluationDetails,
    EvaluationReceipt,
)
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import find_version_to_beat
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.spec.modeling import BASELINE
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import (
    document_bytes,
    load_document,
    put_document_once,
    put_once,
    ref_once,
)
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)

#: Who is judged, as a reader wants to see them.
ORDER = ("challenger", "champion", "linear baseline", "trivial baseline")


def select_challenger(spec: ModelSpec, candidates: Sequence[CandidateReceipt]) -> CandidateReceipt:
    """
    Return the candidate that was best on the validation days; the baseline cannot win.

    :raises CandidateError: If nothing but the baseline was fitted.
    """
    real = [c for c in candidates if c.candidate != BASELINE]
    if not real:
        raise CandidateError(
            "No candidate but the baseline was fitted, so nothing can be promoted."
        )
    if len(real) == 1:
        return real[0]
    return max(
        real, key=lambda c: (metrics.merit(spec.metric, c.validation[spec.metric]), c.candidate)
    )


def score_model(
    model: Pipeline, *, rows: pd.DataFrame, spec: ModelSpec, classes: tuple[str, ...] = ()
) -> ModelScores:
    """
    Predict *rows* with *model* and measure the result; the time is of one warm call.

    :param classes: All classes of a multi-class problem; those of *rows* if empty.
    """
    truth = Labels.of(rows, spec=spec.examples, classes=classes)
    predict(model, rows.head(10), spec=spec.examples, classes=truth.classes)
    started = time.perf_counter()
    predictions = predict(model, rows, spec=spec.examples, classes=truth.classes)
    seconds = time.perf_counter() - started
    return ModelScores(
        predictions=predictions,
        metrics=metrics.measure(truth, predictions),
        ms_per_row=1000 * seconds / len(rows),
    )


def evaluate_challenger(
    workspace: Workspace,
    *,
    candidates: Sequence[CandidateReceipt],
    examples: ExamplesReceipt,
) -> EvaluationReceipt:
    """
    Choose the challenger on the validation days and judge it on the test days.

    A run of tonight is judged against the present champion, a run of the past against the champion
    of its day, both by the ledger. Safe to repeat: the first judgement of a challenger against a
    champion is kept and given again, and one that was champion keeps the judgement that made it so.

    :raises CandidateError: If the baseline is not among *candidates*.
    """
    best = select_challenger(workspace.spec, candidates)
    champion = find_version_to_beat(workspace, as_of=examples.as_of)
    if champion is not None and champion.tags.get(mlflow_registry.TAG_KEY) == best.key:
        kept = champion.tags[mlflow_registry.TAG_EVALUATION]
        log.info(
            "version %s is this challenger and was promoted; that judgement stands",
            champion.version,
        )
        return load_document(workspace.store, kept, EvaluationReceipt)
    return evaluation_of(
        workspace,
        best=best,
        candidates=candidates,
        examples=examples,
        champion=champion,
    )


def evaluation_of(
    workspace: Workspace,
    *,
    best: CandidateReceipt,
    candidates: Sequence[CandidateReceipt],
    examples: ExamplesReceipt,
    champion: ModelVersion | None,
) -> EvaluationReceipt:
    """
    Return the one judgement of *best* beside *champion*, made now unless it is kept already.

    :param champion: The version to beat; None if there is none yet.
    :raises CandidateError: If the baseline is not among *candidates*.
    """
    key = evaluation_key(workspace.spec.model, best.key, champion)
    if workspace.store.head(key) is None:
        models = load_rivals(
            workspace.client,
            workspace.client,
            workspace.spec,
            best=best,
            candidates=candidates,
            champion=champion,
        )
        receipt, details = compare(
            workspace.store,
            workspace.spec,
            models,
            best=best,
            candidates=candidates,
            examples=examples,
            champion=champion,
        )
        keep_evaluation(workspace.store, receipt, details)
    return load_document(workspace.store, key, EvaluationReceipt)


def evaluation_key(model: str, challenger: str, champion: ModelVersion | None) -> str:
    """Return where the judgement of the challenger with that key beside *champion* is kept."""
    against = str(champion.version) if champion else "none"
    return layout.evaluation_record(model, challenger, against)


def load_rivals(
    fitted: MlflowClient,
    serving: MlflowClient,
    spec: ModelSpec,
    *,
    best: CandidateReceipt,
    candidates: Sequence[CandidateReceipt],
    champion: ModelVersion | None,
) -> dict[str, Pipeline]:
    """
    Return the models to compare, by who they are.

    :param fitted: The registry that holds *candidates*.
    :param serving: The registry that holds *champion*.
    :raises CandidateError: If the baseline is not among *candidates*.
    """
    linear = next((c for c in candidates if c.candidate == BASELINE), None)
    if linear is None:
        raise CandidateError("The baseline was not fitted, so no gate can be checked.")
    models = {
        "challenger": load_candidate(fitted, spec, best),
        "linear baseline": load_candidate(fitted, spec, linear),
    }
    if champion is not None:
        models["champion"] = _serving(serving, spec, champion)
    return models


def compare(
    store: ObjectStore,
    spec: ModelSpec,
    models: Mapping[str, Pipeline],
    *,
    best: CandidateReceipt,
    candidates: Sequence[CandidateReceipt],
    examples: ExamplesReceipt,
    champion: ModelVersion | None,
    keep: bool = True,
) -> tuple[EvaluationReceipt, bytes]:
    """
    Hold all *models* against every gate on the same test rows.

    :param store: Where *examples* are.
    :param models: As :func:`load_rivals` returns them.
    :param keep: Whether the answers of :func:`~evergreen.modeling.sanity.check_sanity` are kept;
        nothing else is written.
    :return: The judgement, and the content of its details; :func:`keep_evaluation` keeps both.
    """
    test = load_examples(store, spec, receipt=examples, segments=("test",))
    train, _ = load_training(store, spec, receipt=examples)
    label = spec.examples.label
    classes = classes_among(spec.examples, train[label], test[label])
    truth = Labels.of(test, spec=spec.examples, classes=classes)
    scored = {
        name: score_model(model, rows=test, spec=spec, classes=classes)
        for name, model in models.items()
    }
    scored["trivial baseline"] = _trivial(spec, train, truth)
    sanity = Sanity()
    if are_sound(scored["challenger"].predictions, spec=spec.examples):
        sanity = check_sanity(
            store, spec, models["challenger"], key=best.key, train=train, test=test, keep=keep
        )
    contest = GateInputs(
        test=test,
        train=train,
        truth=truth,
        challenger=scored["challenger"],
        trivial=scored["trivial baseline"],
        linear=scored["linear baseline"],
        champion=scored.get("champion"),
        artifact_bytes=best.artifact_bytes,
        shuffled=sanity.shuffled_gains,
        importances=sanity.importances,
    )
    gates = check_gates(spec, contest)
    key = evaluation_key(spec.model, best.key, champion)
    details = _details(truth, scored, sanity)
    receipt = EvaluationReceipt(
        model=spec.model,
        as_of=examples.as_of,
        challenger=best,
        candidates=tuple(candidates),
        champion_version=str(champion.version) if champion else None,
        record_key=key,
        test_rows=len(test),
        metrics={name: _finite(scored[name].metrics) for name in ORDER if name in scored},
        gates=tuple(gates),
        passed=all(gate.status != "failed" for gate in gates),
        details=ref_once(key.removesuffix(".json"), details, suffix=".json"),
    )
    return receipt, details


def keep_evaluation(store: ObjectStore, receipt: EvaluationReceipt, details: bytes) -> None:
    """Keep a judgement unless one of the same pair is kept; its details first."""
    put_once(store, receipt.record_key.removesuffix(".json"), details, suffix=".json")
    put_document_once(store, receipt.record_key, receipt)


def _trivial(spec: ModelSpec, train: pd.DataFrame, truth: Labels) -> ModelScores:
    known = Labels.of(train, spec=spec.examples, classes=truth.classes)
    predicted = trivial_baseline(known, rows=len(truth))
    return ModelScores(predictions=predicted, metrics=metrics.measure(truth, predicted))


def _details(truth: Labels, scored: Mapping[str, ModelScores], sanity: Sanity) -> bytes:
    shown = [name for name in ("challenger", "champion") if name in scored]
    details = EvaluationDetails(
        curves={name: _curves(truth, scored[name]) for name in shown},
        importances=sanity.importances,
    )
    return document_bytes(details)


def _finite(found: Mapping[Metric, float]) -> dict[str, float | None]:
    """Return *found* for a receipt: JSON has no NaN, and None is no number either."""
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


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


def load_candidate(client: MlflowClient, spec: ModelSpec, of: CandidateReceipt) -> Pipeline:
    """Return the pipeline a training task logged, checked against the digest in its receipt."""
    return load_model(client, of.model_id, sha256=of.artifact_sha256, trusted=spec.trusted_types)


def _serving(client: MlflowClient, spec: ModelSpec, version: ModelVersion) -> Pipeline:
    return load_model(
        client,
        mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID),
        sha256=mlflow_registry.tag(version, mlflow_registry.TAG_SHA256),
        trusted=spec.trusted_types,
    )
