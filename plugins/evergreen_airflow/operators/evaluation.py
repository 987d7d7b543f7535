"""Evaluate the challenger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.errors import UpstreamFailedError
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen.spec.modeling import BASELINE
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_checks, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class EvaluateChallengerOperator(StageOperator):
    """
    Evaluate the best candidate on the test days, beside champion and baseline, on the same rows.

    A challenger that loses is a normal answer: the task is green and says why. A candidate that
    failed is named and not compared; it needs a trigger rule that waits for all candidates and goes
    on whatever became of them. Safe to retry: the first evaluation against a champion is kept.

    :param candidates: Receipts of ``train_candidate``; pass its ``.output``. (templated)
    :param examples: Receipt of ``prepare_examples``; pass its ``.output``. (templated)
    :return: An :class:`~evergreen.receipts.modeling.EvaluationReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "candidates", "examples")
    template_fields_renderers: ClassVar[dict[str, str]] = {"candidates": "json", "examples": "json"}
    ui_color = "#fdf3e1"

    def __init__(
        self, *, candidates: list[dict[str, Any]], examples: dict[str, Any] | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.candidates = candidates
        self.examples = examples

    def run_stage(self, context: Context) -> EvaluationReceipt:
        """Evaluate, then show the ranking, the metrics side by side and every gate."""
        from evergreen.modeling.evaluation import (  # heavy: scikit-learn
            evaluate_challenger,
            require_present,
        )

        if self.examples is None:
            raise UpstreamFailedError("prepare_examples has no receipt, so nothing was evaluated.")
        examples = ExamplesReceipt.model_validate(self.examples)
        receipts = [CandidateReceipt.model_validate(c) for c in self.candidates or () if c]
        chosen = (*context["params"].get("candidates", self.spec.candidates), BASELINE)
        wanted = [name for name in self.spec.candidate_names if name in chosen]
        fitted = require_present(self.spec, receipts, wanted=wanted, examples=examples)
        failed = [name for name in wanted if name not in {one.candidate for one in fitted}]
        if failed:
            self.log.warning(
                "Failed and not compared: %s. The log of its train_candidate says why.",
                ", ".join(failed),
            )
        receipt = evaluate_challenger(
            self.workspace, candidates=fitted, examples=examples, failed=failed
        )
        self._show(receipt, fitted)
        return receipt

    def _show(self, receipt: EvaluationReceipt, fitted: Sequence[CandidateReceipt]) -> None:
        from evergreen.modeling.metrics import merit  # heavy: scikit-learn

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
