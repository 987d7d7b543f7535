"""Evaluate the challenger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_checks, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class EvaluateChallengerOperator(StageOperator):
    """
    Evaluate the best candidate on the test days, beside champion and baseline, on the same rows.

    A challenger that loses is a normal answer: the task is green and says why. Safe to retry: the
    first evaluation against a champion is kept.

    :param candidates: Receipts of ``train_candidate``; pass its ``.output``. (templated)
    :param examples: Receipt of ``prepare_examples``; pass its ``.output``. (templated)
    :return: An :class:`~evergreen.receipts.modeling.EvaluationReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "candidates", "examples")
    template_fields_renderers: ClassVar[dict[str, str]] = {"candidates": "json", "examples": "json"}
    ui_color = "#fdf3e1"

    def __init__(
        self, *, candidates: list[dict[str, Any]], examples: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.candidates = candidates
        self.examples = examples

    def run_stage(self, context: Context) -> EvaluationReceipt:
        """Evaluate, then show the ranking, the metrics side by side and every gate."""
        from evergreen.modeling.evaluation import evaluate_challenger  # heavy: scikit-learn
        from evergreen.modeling.metrics import merit

        fitted = [CandidateReceipt.model_validate(c) for c in self.candidates if c is not None]
        receipt = evaluate_challenger(
            self.workspace,
            candidates=fitted,
            examples=ExamplesReceipt.model_validate(self.examples),
        )
        missed = [gate.name for gate in receipt.gates if gate.status == "failed"]
        verdict = "passes every gate" if receipt.passed else f"misses {', '.join(missed)}"
        self.log.info("Challenger %s %s", receipt.challenger.candidate, verdict)
        metric = self.spec.metric
        rivals = [c for c in fitted if metric in c.validation]
        if rivals:
            ranking = sorted(rivals, key=lambda c: -merit(metric, c.validation[metric]))
            log_table(
                self.log,
                "Candidates on the validation days",
                ("candidate", metric),
                [(c.candidate, c.validation[metric]) for c in ranking],
            )
        names = list(receipt.metrics["challenger"])
        log_table(
            self.log,
            f"On the same {receipt.test_rows} test rows",
            ("model", *names),
            [(who, *(found[name] for name in names)) for who, found in receipt.metrics.items()],
        )
        log_checks(self.log, "Gates", receipt.gates)
        return receipt
