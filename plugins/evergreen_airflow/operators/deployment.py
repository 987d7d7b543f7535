"""Let the registered version serve, if it may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.deployment import deploy_model
from evergreen.receipts import DeploymentReceipt, RegistrationReceipt
from evergreen_airflow.assets import champion, champion_moves
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue


class DeployModelOperator(StageOperator):
    """
    Move the champion alias to the registered version, unless a rule says it stays.

    Safe to retry: a version that serves already is left alone.

    :param registration: Receipt of ``register_model``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.DeploymentReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "registration")
    template_fields_renderers: ClassVar[dict[str, str]] = {"registration": "json"}
    ui_color = "#fbe5e1"

    def __init__(self, *, registration: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.registration = registration

    def run_stage(self, context: Context) -> DeploymentReceipt:
        """Deploy, tell downstream DAGs if the champion moved, and say why or why not."""
        dag_run = context["dag_run"]
        receipt = deploy_model(
            self.store,
            self.client,
            self.spec,
            registration=RegistrationReceipt.model_validate(self.registration),
            actor=f"airflow run {dag_run.dag_id} {dag_run.run_id}",
            now=datetime.now(UTC),
            dry_run=bool(context["params"].get("dry_run", False)),
        )
        if receipt.moved:
            extra: dict[str, JsonValue] = {
                "version": receipt.version,
                "as_of": receipt.as_of.isoformat(),
            }
            moves = context["outlet_events"][champion_moves(self.spec)]
            moves.add(champion(self.spec), extra=extra)
        self.log.info(
            "Version %s %s: %s",
            receipt.version, "is the new champion" if receipt.moved else "changes nothing",
            receipt.reason,
        )  # fmt: skip
        rows = [("this run's version", receipt.version), ("champion", receipt.champion_version)]
        log_table(self.log, "Who serves", ("what", "version"), rows)
        return receipt
