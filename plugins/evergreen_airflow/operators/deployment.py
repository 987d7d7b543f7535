"""Let the registered version serve, if it may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.deployment import deploy_model
from evergreen.receipts import ApprovalReceipt, DeploymentReceipt, RegistrationReceipt
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
    :param approval: Receipt of ``approve_promotion``, where the spec wants to ask. (templated)
    :return: A :class:`~evergreen.receipts.DeploymentReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "registration", "approval")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "registration": "json",
        "approval": "json",
    }
    ui_color = "#fbe5e1"

    def __init__(
        self,
        *,
        registration: dict[str, Any],
        approval: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.registration = registration
        self.approval = approval

    def run_stage(self, context: Context) -> DeploymentReceipt:
        """Deploy, tell downstream DAGs if the champion moved, and say why or why not."""
        registration = RegistrationReceipt.model_validate(self.registration)
        approval = ApprovalReceipt.model_validate(self.approval) if self.approval else None
        receipt = deploy_model(
            self.store,
            self.client,
            self.spec,
            registration=registration,
            judge_again=lambda: self._judge_again(registration, context),
            actor=actor_of(context),
            now=datetime.now(UTC),
            dry_run=bool(context["params"].get("dry_run", False)),
            approval=approval,
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

    def _judge_again(
        self, registration: RegistrationReceipt, context: Context
    ) -> RegistrationReceipt:
        """Judge the challenger beside the version that serves now, and register the verdict."""
        from evergreen.rejudging import judge_again  # heavy: scikit-learn

        return judge_again(
            self.store, self.client, self.spec,
            registration=registration, tags=identity_of(context),
        )  # fmt: skip
