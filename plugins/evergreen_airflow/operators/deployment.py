"""Let the registered version serve, if it may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.deployment import deploy_model
from evergreen.receipts import (
    CandidateReceipt,
    DeploymentReceipt,
    ExamplesReceipt,
    RegistrationReceipt,
)
from evergreen.registration import register_model
from evergreen_airflow.assets import announce_champion
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run import actor_of, identity_of
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeployModelOperator(StageOperator):
    """
    Move the champion alias to the registered version, unless a rule says it stays.

    Safe to retry: a version that serves already is left alone, and a move that an earlier attempt
    began is finished. If another run promoted meanwhile, the challenger is judged again beside that
    version.

    :param registration: Receipt of ``register_model``; pass its ``.output``. (templated)
    :param candidates: Receipts of ``train_candidate``, to judge again. (templated)
    :param examples: Receipt of ``prepare_examples``, to judge again. (templated)
    :return: A :class:`~evergreen.receipts.DeploymentReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "registration", "candidates", "examples")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "registration": "json",
        "candidates": "json",
        "examples": "json",
    }
    ui_color = "#fbe5e1"

    def __init__(
        self,
        *,
        registration: dict[str, Any],
        candidates: list[dict[str, Any]],
        examples: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.registration = registration
        self.candidates = candidates
        self.examples = examples

    def run_stage(self, context: Context) -> DeploymentReceipt:
        """Deploy, tell downstream DAGs if the champion moved, and say why or why not."""
        receipt = deploy_model(
            self.store,
            self.client,
            self.spec,
            registration=RegistrationReceipt.model_validate(self.registration),
            judge_again=lambda: self._judge_again(context),
            actor=actor_of(context),
            now=datetime.now(UTC),
            dry_run=bool(context["params"].get("dry_run", False)),
        )
        if receipt.moved:
            announce_champion(context, self.spec, version=receipt.version, as_of=receipt.as_of)
        self.log.info(
            "Version %s %s: %s",
            receipt.version, "is the new champion" if receipt.moved else "changes nothing",
            receipt.reason,
        )  # fmt: skip
        rows = [("this run's version", receipt.version), ("champion", receipt.champion_version)]
        log_table(self.log, "Who serves", ("what", "version"), rows)
        return receipt

    def _judge_again(self, context: Context) -> RegistrationReceipt:
        """Judge the challenger beside the version that serves now, and register the verdict."""
        from evergreen.evaluation import evaluate_challenger  # heavy: scikit-learn

        examples = ExamplesReceipt.model_validate(self.examples)
        evaluation = evaluate_challenger(
            self.store,
            self.client,
            self.spec,
            candidates=[CandidateReceipt.model_validate(c) for c in self.candidates if c],
            examples=examples,
        )
        return register_model(
            self.store,
            self.client,
            self.spec,
            evaluation=evaluation,
            examples=examples,
            tags=identity_of(context),
        )
