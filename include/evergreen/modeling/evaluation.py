"""
Evaluate the best candidate once, on unseen days, beside the champion and the baselines.

What was judged is kept: the same challenger beside the same champion gets the same verdict again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from evergreen.errors import CandidateError
from evergreen.modeling import metrics
from evergreen.modeling.comparison import (
    Comparison,
    compare,
    comparison_level,
    load_models,
)
from evergreen.modeling.training import candidate_key
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import find_version_to_beat
from evergreen.spec import ModelSpec
from evergreen.spec.modeling import BASELINE
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document_once, put_once
from evergreen.workspace import Workspace

log = logging.getLogger(__name__)


def select_challenger(spec: ModelSpec, candidates: Sequence[CandidateReceipt]) -> CandidateReceipt:
    """
    Return the candidate that was best on the validation days; the baseline cannot win.

    Where they could not rank, it is the first that the spec names.

    :raises CandidateError: If nothing but the baseline was fitted.
    """
    real = [c for c in candidates if c.candidate != BASELINE]
    if not real:
        raise CandidateError(
            "No candidate but the baseline was fitted, so nothing can be promoted."
        )
    ranked = [c for c in real if spec.metric in c.validation]
    if len(ranked) < len(real):  # a single one, or validation days whose labels are all alike
        return min(real, key=lambda c: list(spec.candidates).index(c.candidate))
    return max(
        ranked, key=lambda c: (metrics.merit(spec.metric, c.validation[spec.metric]), c.candidate)
    )


def require_present(
    spec: ModelSpec,
    candidates: Sequence[CandidateReceipt],
    *,
    wanted: Sequence[str],
    examples: ExamplesReceipt,
) -> list[CandidateReceipt]:
    """
    Return those of *candidates* that the present spec and code made of *examples*, each once.

    Others are left from before a change, at map indexes that no task has any more. They are passed
    over if every one of *wanted* is here.

    :raises CandidateError: If one of *wanted* is missing and there is a receipt that another spec
        made: a task that was cleared alone leaves the receipts of the others as they were.
    """
    found: dict[str, CandidateReceipt] = {}
    foreign: dict[str, None] = {}
    for one in candidates:
        is_known = one.candidate in spec.candidate_names
        if is_known and one.key == candidate_key(spec, candidate=one.candidate, examples=examples):
            found[one.candidate] = one
        else:
            foreign[one.candidate] = None
    if foreign and not set(wanted) <= set(found):
        raise CandidateError(
            f"found receipts of {', '.join(foreign)} that another spec, code or set of examples "
            f"made, expected those of the present one for {', '.join(wanted)}. Nothing was "
            "evaluated. Clear train_candidate of this run with all its map indexes and the tasks "
            "after it."
        )
    return list(found.values())


def evaluate_challenger(
    workspace: Workspace,
    *,
    candidates: Sequence[CandidateReceipt],
    examples: ExamplesReceipt,
    failed: Sequence[str] = (),
) -> EvaluationReceipt:
    """
    Choose the challenger on the validation days and evaluate it on the test days.

    A run of tonight is compared with the present champion, a run of the past with the champion
    of its day, both by the ledger. Safe to repeat: the first evaluation of a challenger against a
    champion is kept and given again, and one that was champion keeps the evaluation that made
    it so.

    :param failed: Candidates that the run was to fit too; the receipt names them.
    :raises CandidateError: If the baseline is not among *candidates*.
    """
    best = select_challenger(workspace.spec, candidates)
    champion = find_version_to_beat(workspace, as_of=examples.as_of)
    comparison = Comparison(best=best, candidates=candidates, examples=examples, champion=champion)
    latest = ledger_store.read_ledger(workspace.store, workspace.spec.model).latest_as_of
    may_promote = latest is None or examples.as_of >= latest
    found = evaluation_of(workspace, comparison, may_promote=may_promote)
    return found.model_copy(update={"failed_candidates": tuple(failed)})


def evaluation_of(
    workspace: Workspace, comparison: Comparison, *, may_promote: bool
) -> EvaluationReceipt:
    """
    Return the one evaluation of *comparison*, made now unless it is kept already.

    :param may_promote: Whether it counts among those that could promote an equal challenger.
    :raises CandidateError: If the baseline is not among the candidates.
    :raises ArtifactError: If one of the models cannot be loaded.
    """
    client, spec = workspace.client, workspace.spec

    def judge() -> tuple[EvaluationReceipt, bytes]:
        models = load_models(client, client, spec, comparison)
        level = comparison_level(workspace.store, spec, comparison, keep=may_promote)
        return compare(workspace.store, spec, models, comparison, level=level)

    return judge_once(workspace.store, spec.model, comparison, judge)


def judge_once(
    store: ObjectStore,
    model: str,
    comparison: Comparison,
    judge: Callable[[], tuple[EvaluationReceipt, bytes]],
) -> EvaluationReceipt:
    """
    Return the evaluation of *comparison* that is kept, made by *judge* if there is none.

    A challenger that is the champion keeps the evaluation that made it so.

    :param judge: Judges as :func:`~evergreen.modeling.comparison.compare` does.
    """
    champion = comparison.champion
    if champion is not None and champion.tags.get(mlflow_registry.TAG_KEY) == comparison.best.key:
        log.info(
            "version %s is this challenger and was promoted; that evaluation stands",
            champion.version,
        )
        kept = champion.tags[mlflow_registry.TAG_EVALUATION]
        return load_document(store, kept, EvaluationReceipt)
    key = comparison.record_key(model)
    if store.head(key) is None:
        receipt, details = judge()
        _keep(store, receipt, details)
    return load_document(store, key, EvaluationReceipt)


def _keep(store: ObjectStore, receipt: EvaluationReceipt, details: bytes) -> None:
    """Keep an evaluation unless one of the same pair is kept; its details first."""
    put_once(store, receipt.record_key.removesuffix(".json"), details, suffix=".json")
    put_document_once(store, receipt.record_key, receipt)
