"""Bring a version to another environment, and let it serve there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from evergreen.errors import PromotionError
from evergreen.receipts.release import PromotionReceipt, RegistrationReceipt, registration_in
from evergreen_airflow.hooks.registry import ModelRegistryHook
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.operators.deployment import DeployModelOperator
from evergreen_airflow.run_context import actor_of, decision_id, number_of
from evergreen_airflow.task_log import log_checks, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context

    from evergreen.receipts.release import DeploymentReceipt

#: Connections of the environment that the run's param ``to`` names.
STORE_THERE, REGISTRY_THERE = "object_store_{{ params.to }}", "mlflow_{{ params.to }}"


class PromoteModelOperator(StageOperator):
    """
    Copy a version to another environment, compare it with the champion there, and register it.

    An environment is two connections, ``object_store_<name>`` and ``mlflow_<name>``. Nothing serves
    by this task alone. Safe to retry: the run promotes the version that its first try chose, and
    what is there already is found. What to do comes from the run's params: ``version``, ``to``,
    ``reason``, ``dry_run`` and ``force``.

    :return: A :class:`~evergreen.receipts.release.PromotionReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#fdf3e1"

    def run_stage(self, context: Context) -> PromotionReceipt:
        """Promote, and log the verdict of the other environment gate by gate."""
        from evergreen.release.promotion import promote_version  # heavy: scikit-learn
        from evergreen.release.transfer import Environment

        params = context["params"]
        to, asked = str(params["to"]), number_of(context, "version")
        receipt = promote_version(
            Environment(name="this environment", store=self.store, client=self.client),
            Environment(
                name=to,
                store=ObjectStoreHook(f"object_store_{to}").store,
                client=ModelRegistryHook(f"mlflow_{to}").client,
            ),
            self.spec,
            version=None if asked is None else str(asked),
            actor=actor_of(context),
            reason=params["reason"],
            now=datetime.now(UTC),
            dry_run=params["dry_run"],
            force=params["force"],
            run=decision_id(context),
        )
        self.log.info("%s", _headline(receipt))
        there = receipt.registration
        rows = [
            ("version here", receipt.version),
            (f"version in {to}", there.version if there else "none, a dry run"),
            (f"champion of {to} it was compared with", receipt.compared_with or "none yet"),
            ("test rows", receipt.test_rows),
        ]
        log_table(self.log, "Promotion", ("what", "value"), rows)
        log_checks(self.log, f"Gates in {to}", receipt.gates)
        return receipt


class DeployPromotedOperator(DeployModelOperator):
    """
    Let a promoted version serve in its environment, unless a rule says that the champion stays.

    Safe to retry, as :class:`~evergreen_airflow.operators.deployment.DeployModelOperator`. Skipped
    after a dry run. No asset event is sent: the champion of this environment stays as it is.

    :param registration: Receipt of ``promote_model``; pass its ``.output``. (templated)
    """

    def run_stage(self, context: Context) -> DeploymentReceipt:
        """Deploy in the other environment."""
        if registration_in(self.registration) is None:
            raise AirflowSkipException("Dry run: nothing was registered, so nothing can serve.")
        return super().run_stage(context)

    def announce(self, context: Context, receipt: DeploymentReceipt) -> None:
        """Send nothing: the asset names the champion of this environment."""

    def reevaluate(
        self, registration: RegistrationReceipt, context: Context
    ) -> RegistrationReceipt:
        """Refuse: the verdict was made beside a version that is not the champion any more."""
        raise PromotionError(
            f"Another version of {self.model} was promoted there after version "
            f"{registration.version} was evaluated. It is registered there and does not serve. "
            "Clear promote_model with the tasks after it: it is compared with the new champion "
            "then."
        )


def _headline(receipt: PromotionReceipt) -> str:
    missed = [gate.name for gate in receipt.gates if gate.status == "failed"]
    verdict = f"misses {', '.join(missed)}" if missed else "passes every gate"
    if receipt.registration is None:
        return f"Dry run: version {receipt.version} {verdict} in {receipt.to}. Nothing was written"
    return (
        f"Version {receipt.version} is in {receipt.to} as version {receipt.registration.version}: "
        f"it {verdict}"
    )
