"""Let the registered version serve, if it may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts.release import (
    ApprovalReceipt,
    DeploymentReceipt,
    RegistrationReceipt,
    registration_in,
)
from evergreen.registry import ledger as ledger_store
from evergreen.release.deployment import deploy_model
from evergreen.release.targets import Waiting
from evergreen_airflow.alerts import alert
from evergreen_airflow.assets import announce_champion
from evergreen_airflow.operators.rollout import RolloutOperator
from evergreen_airflow.run_context import actor_of, decision_id, identity_of, is_scheduled
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


def rollout_history(ledger: ledger_store.Ledger, version: str) -> list[tuple[object, ...]]:
    """Return the stages *version* went through, in order: since when, which, and why."""
    return [
        (f"{entry.recorded_at:%Y-%m-%d %H:%M:%S}", entry.stage or entry.step, entry.reason)
        for entry in ledger.entries
        if entry.version == version and entry.step in ("stage", "backed_out", "stopped")
    ]


class DeployModelOperator(RolloutOperator):
    """
    Move the champion alias to the registered version, unless a rule says it stays.

    Where the spec requires shadow or canary the version proves itself first; meanwhile the task is
    deferred and holds no worker slot. Each stage stands in the ledger.

    Safe to retry: a version that serves already is left alone, and a move or a stage that an
    earlier attempt began is gone on with. If another run promoted meanwhile, the challenger is
    compared with that version.

    :param registration: Receipt of ``register_model`` or ``promote_model``; pass its ``.output``.
        (templated)
    :param approval: Receipt of ``approve_promotion``, where the spec wants to ask. (templated)
    :param poll_s: Seconds between two looks at a stage.
    :return: A :class:`~evergreen.receipts.release.DeploymentReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = (
        "model",
        "store_conn_id",
        "registry_conn_id",
        "registration",
        "approval",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "registration": "json",
        "approval": "json",
    }

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
        registration = registration_in(self.registration)
        if registration is None:
            raise ValueError("registration is the receipt of a dry run; there is nothing to deploy")
        approval = ApprovalReceipt.model_validate(self.approval) if self.approval else None
        receipt = deploy_model(
            self.workspace,
            registration=registration,
            reevaluate=lambda: self.reevaluate(registration, context),
            actor=actor_of(context),
            now=datetime.now(UTC),
            dry_run=bool(context["params"].get("dry_run", False)),
            approval=approval,
            run=decision_id(context),
            answers_red=not is_scheduled(context),
        )
        if isinstance(receipt, Waiting):
            self.log.info("Version %s: %s", receipt.version, receipt.message)
            self.wait(receipt, store_conn_id=self.store_conn_id)
        if receipt.moved:
            self.announce(context, receipt)
        self.log.info(
            "Version %s %s: %s",
            receipt.version,
            "is the new champion" if receipt.moved else "changes nothing",
            receipt.reason,
        )
        rows = [("this run's version", receipt.version), ("champion", receipt.champion_version)]
        log_table(self.log, "Who serves", ("what", "version"), rows)
        if way := rollout_history(
            ledger_store.read_ledger(self.store, self.model), receipt.version
        ):
            log_table(self.log, "Its way to the callers", ("since", "stage", "because"), way)
        if receipt.is_backed_out:
            title = f"{self.model}: version {receipt.version} backed out"
            body = f"{receipt.reason}. Version {receipt.champion_version} goes on serving."
            alert(context, self.spec, title=title, body=body)
        return receipt

    def announce(self, context: Context, receipt: DeploymentReceipt) -> None:
        """Tell downstream DAGs that the champion changed."""
        announce_champion(context, self.spec, version=receipt.version, as_of=receipt.as_of)

    def reevaluate(
        self, registration: RegistrationReceipt, context: Context
    ) -> RegistrationReceipt:
        """Compare the challenger with the version that serves now, and register the verdict."""
        from evergreen.release.reevaluation import reevaluate  # heavy: scikit-learn

        return reevaluate(self.workspace, registration=registration, tags=identity_of(context))
