"""Bring a version to another environment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evergreen.receipts import PromotionReceipt
from evergreen.targets import Waiting
from evergreen_airflow.hooks.registry import ModelRegistryHook
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.operators.rollout import RolloutOperator
from evergreen_airflow.run import actor_of
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class PromoteModelOperator(RolloutOperator):
    """
    Copy a version with its evidence to another environment, and deploy it there.

    An environment is two connections, ``object_store_<name>`` and ``mlflow_<name>``. Safe to retry:
    what is there already is found. What to do comes from the run's params: ``version``, ``to``,
    ``reason``, ``dry_run`` and ``force``.

    :param poll_s: Seconds between two looks at a stage there.
    :return: A :class:`~evergreen.receipts.PromotionReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)

    def run_stage(self, context: Context) -> PromotionReceipt:
        """Promote, and say what went where and who serves there."""
        from evergreen.promotion import Environment, promote_version

        params = context["params"]
        to, asked = str(params["to"]), params["version"]
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
        )
        if isinstance(receipt, Waiting):
            self.log.info("Version %s in %s: %s", receipt.version, to, receipt.words)
            self.wait(receipt, store_conn_id=f"object_store_{to}")
        self.log.info("%s", _headline(receipt))
        rows = [
            ("version here", receipt.version),
            (f"version in {to}", receipt.there or "none, a dry run"),
            ("serves there", receipt.deployment.reason if receipt.deployment else "not asked"),
        ]
        log_table(self.log, "Promotion", ("what", "value"), rows)
        return receipt


def _headline(receipt: PromotionReceipt) -> str:
    if receipt.deployment is None:
        return f"Dry run: version {receipt.version} would go to {receipt.to}. Nothing was written"
    if receipt.deployment.moved:
        return f"Version {receipt.version} serves in {receipt.to} as version {receipt.there}"
    return f"Version {receipt.version} is in {receipt.to} as version {receipt.there}"
