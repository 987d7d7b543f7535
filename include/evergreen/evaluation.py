"""
Judge the best candidate once, on days nobody has looked at, beside the champion and the baseline.

Everything is measured on the same rows. A gate that cannot be measured is failed, not skipped; a
slice that is too small to tell is unknown and says so.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from evergreen import ledger, metrics, registry
from evergreen.artefacts import inputs_of, load_model
from evergreen.errors import ArtefactError, CandidateError
from evergreen.leakage import check_leaks
from evergreen.preparation import load_examples
from evergreen.receipts import CandidateReceipt, Check, EvaluationReceipt, ExamplesReceipt
from evergreen.spec import ModelSpec
from evergreen.spec.policy import BASELINE, Metric
from evergreen.storage import ObjectStore, put_json_once

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one model said about the test rows, and what that is worth."""

    scores: metrics.Scores
    metrics: dict[Metric, float]
    ms_per_row: float = field(default=math.nan)


def rank(spec: ModelSpec, candidates: Sequence[CandidateReceipt]) -> CandidateReceipt:
    """
    Return the candidate that was best on the validation days; the baseline cannot win.

    :raises CandidateError: If nothing but the baseline was fitted.
    """
    metric = spec.gates.metric
    real = [c for c in candidates if c.candidate != BASELINE]
    if not real:
        raise CandidateError(
            "No candidate but the baseline was fitted, so nothing can be promoted."
        )
    return max(real, key=lambda c: (metrics.gain(metric, c.validation[metric], 0.0), c.candidate))


def judge(model: Pipeline, *, rows: pd.DataFrame, spec: ModelSpec) -> Judged:
    """Score *rows* with *model* and measure the result; the time is of one warm call."""
    inputs = inputs_of(model, rows, spec=spec.examples)
    model.predict_proba(inputs.head(10))
    started = time.perf_counter()
    scores = model.predict_proba(inputs)[:, 1]
    seconds = time.perf_counter() - started
    labels = rows[spec.examples.label].to_numpy(dtype=bool)
    return Judged(
        scores=scores,
        metrics=metrics.measure(labels, scores),
        ms_per_row=1000 * seconds / len(rows),
    )


def check_gates(
    spec: ModelSpec,
    *,
    rows: pd.DataFrame,
    challenger: Judged,
    baseline: Judged,
    champion: Judged | None,
    artefact_bytes: int,
) -> list[Check]:
    """
    Hold *challenger* against every gate of the spec.

    :param rows: The test examples all three were scored on, shape ``(rows, columns)``.
    :return: One check per gate; only "failed" stands in the way of a promotion.
    """
    return [
        _at_least("rows to judge on", float(len(rows)), spec.gates.min_test_rows, digits=0),
        *_absolute(spec, rows, challenger, artefact_bytes),
        *_against_baseline(spec, challenger, baseline),
        *_against_champion(spec, rows, challenger, champion),
    ]


def evaluate_challenger(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
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
    best = rank(spec, candidates)
    champion = _opponent(store, client, spec, as_of=examples.as_of)
    if champion is not None and champion.tags.get(registry.TAG_KEY) == best.key:
        kept = champion.tags[registry.TAG_EVALUATION]
        log.info("version %s is this challenger and was promoted; that judgement stands",
                 champion.version)  # fmt: skip
        return EvaluationReceipt.model_validate_json(store.get(kept))
    return judgement(
        store, client, spec,
        best=best, candidates=candidates, examples=examples, champion=champion,
    )  # fmt: skip


def judgement(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
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
    against = str(champion.version) if champion else "none"
    key = f"evaluations/{spec.model}/{best.key}/against-{against}.json"
    if store.head(key) is None:
        receipt = _evaluate(store, client, spec, best, candidates, champion, examples, key)
        put_json_once(store, key, receipt.model_dump(mode="json"))
    return EvaluationReceipt.model_validate_json(store.get(key))


def _opponent(
    store: ObjectStore, client: MlflowClient, spec: ModelSpec, *, as_of: datetime
) -> ModelVersion | None:
    """Return the version a challenger that knows the world up to *as_of* has to beat."""
    book = ledger.read(store, spec.model)
    is_history = book.horizon is not None and as_of < book.horizon
    reign = book.champion_at(as_of) if is_history else book.champion
    if reign is None:
        return None
    found = registry.find_version(client, spec.model, reign.version)
    if found is None:
        raise ArtefactError(
            f"The ledger says that version {reign.version} of {spec.model} was champion at "
            f"{as_of:%Y-%m-%d %H:%M}, but MLflow has it no more, so nothing can be compared with "
            "it. Nothing was judged. Restore it, or roll back to a version that is there."
        )
    return found


def _evaluate(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    best: CandidateReceipt,
    candidates: Sequence[CandidateReceipt],
    champion: ModelVersion | None,
    examples: ExamplesReceipt,
    key: str,
) -> EvaluationReceipt:
    rows = load_examples(store, spec, receipt=examples, segments=("test",))
    train = load_examples(store, spec, receipt=examples, segments=("fit", "validation"))
    simple = next((c for c in candidates if c.candidate == BASELINE), None)
    if simple is None:
        raise CandidateError("The baseline was not fitted, so no gate can be checked.")
    judged = {
        name: judge(load_candidate(client, spec, of), rows=rows, spec=spec)
        for name, of in (("challenger", best), ("baseline", simple))
    }
    if champion is not None:
        judged["champion"] = judge(_serving(client, spec, champion), rows=rows, spec=spec)
    gates = check_gates(
        spec,
        rows=rows,
        challenger=judged["challenger"],
        baseline=judged["baseline"],
        champion=judged.get("champion"),
        artefact_bytes=best.artefact_bytes,
    )
    gates += check_leaks(spec, train=train, test=rows)
    return EvaluationReceipt(
        model=spec.model,
        as_of=examples.as_of,
        challenger=best,
        candidates=tuple(candidates),
        champion_version=str(champion.version) if champion else None,
        record_key=key,
        test_rows=len(rows),
        metrics={name: dict(found.metrics) for name, found in judged.items()},
        gates=tuple(gates),
        passed=all(gate.status != "failed" for gate in gates),
    )


def load_candidate(client: MlflowClient, spec: ModelSpec, of: CandidateReceipt) -> Pipeline:
    """Return the pipeline a training task logged, checked against the digest in its receipt."""
    return load_model(client, of.model_id, sha256=of.artefact_sha256, trusted=spec.trusted_types)


def _serving(client: MlflowClient, spec: ModelSpec, version: ModelVersion) -> Pipeline:
    return load_model(
        client,
        registry.tag(version, registry.TAG_MODEL_ID),
        sha256=registry.tag(version, registry.TAG_SHA256),
        trusted=spec.trusted_types,
    )


def _absolute(
    spec: ModelSpec, rows: pd.DataFrame, challenger: Judged, artefact_bytes: int
) -> Iterator[Check]:
    gates = spec.gates
    for metric, floor in gates.floors.items():
        value = challenger.metrics[metric]
        check = _at_most if metric in metrics.LOSSES else _at_least
        yield check(f"{metric} alone", value, floor)
    labels = rows[spec.examples.label].to_numpy(dtype=bool)
    error = metrics.calibration_error(labels, challenger.scores)
    yield _at_most("calibration error", error, gates.max_calibration_error)
    yield _at_most("prediction time, ms a row", challenger.ms_per_row, gates.max_predict_ms_per_row)
    yield _at_most("artefact size, MB", artefact_bytes / 1e6, gates.max_artefact_mb)


def _against_baseline(spec: ModelSpec, challenger: Judged, baseline: Judged) -> Iterator[Check]:
    metric = spec.gates.metric
    better = metrics.gain(metric, challenger.metrics[metric], baseline.metrics[metric])
    yield _at_least(f"{metric} over the baseline", better, spec.gates.baseline.margin)


def _against_champion(
    spec: ModelSpec, rows: pd.DataFrame, challenger: Judged, champion: Judged | None
) -> Iterator[Check]:
    rule, metric = spec.gates.champion, spec.gates.metric
    name = f"{metric} over the champion"
    if champion is None:
        yield Check(name=name, status="passed", measured="no champion yet", required="first run")
        return
    labels = rows[spec.examples.label].to_numpy(dtype=bool)
    better, lower = metrics.bootstrap_gain(
        labels,
        challenger.scores,
        champion.scores,
        metric=metric,
        confidence=rule.confidence,
        resamples=rule.resamples,
        seed=spec.seed,
    )
    yield Check(
        name=name,
        status="passed" if lower > rule.margin else "failed",  # NaN is not greater, and fails
        measured=f"{better:+.4f}, lower bound {lower:+.4f}",
        required=f"lower bound at {rule.confidence:.0%} > {rule.margin:g}",
    )
    for column in spec.gates.slices.columns:
        yield from _slices(spec, rows, column, challenger, champion)


def _slices(
    spec: ModelSpec, rows: pd.DataFrame, column: str, challenger: Judged, champion: Judged
) -> Iterator[Check]:
    rule, metric = spec.gates.slices, spec.gates.metric
    labels = rows[spec.examples.label].to_numpy(dtype=bool)
    for value, positions in sorted(rows.groupby(column, dropna=False).indices.items(), key=str):
        name = f"slice {column}={value}"
        truth = labels[positions]
        required = f"{metric} drop <= {rule.max_drop:g}"
        if len(positions) < rule.min_rows or truth.all() or not truth.any():
            measured = f"{len(positions)} rows, {int(truth.sum())} positive"
            required = f"{rule.min_rows} rows of both classes to tell"
            yield Check(name=name, status="unknown", measured=measured, required=required)
            continue
        ours, theirs = (
            metrics.measure(truth, judged.scores[positions])[metric]
            for judged in (challenger, champion)
        )
        drop = -metrics.gain(metric, ours, theirs)
        yield Check(
            name=name,
            status="passed" if drop <= rule.max_drop else "failed",
            measured=f"{ours:.4f} against {theirs:.4f} on {len(positions)} rows",
            required=required,
        )


def _at_least(name: str, value: float, least: float, *, digits: int = 4) -> Check:
    return Check(
        name=name,
        status="passed" if value >= least else "failed",  # NaN compares false, and fails
        measured=f"{value:.{digits}f}",
        required=f">= {least:g}",
    )


def _at_most(name: str, value: float, most: float) -> Check:
    return Check(
        name=name,
        status="passed" if value <= most else "failed",  # NaN compares false, and fails
        measured=f"{value:.4f}",
        required=f"<= {most:g}",
    )
