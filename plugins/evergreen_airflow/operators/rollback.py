"""Go back to an earlier champion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evergreen.receipts.release import RollbackReceipt
from evergreen.release.rollback import roll_back_model
from evergreen_airflow.assets import announce_champion
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import actor_of, decision_id, number_of, serves_from_or_now
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class RollBackModelOperator(StageOperator):
    """
    Make an earlier version champion again, after loading and probing it.

    Safe to retry and to clear: the run goes back once, and finds its decision in the ledger after
    that. To go back once more, start another run. What to do comes from the run's params:
    ``version``, ``serves_from``, ``reason``, ``dry_run`` and ``force``.

    :return: A :class:`~evergreen.receipts.release.RollbackReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#fbe5e1"

    def run_stage(self, context: Context) -> RollbackReceipt:
        """Roll back, tell downstream DAGs, and say what serves now and what was forced."""
        params, now = context["params"], datetime.now(UTC)
        asked = number_of(context, "version")
        receipt = roll_back_model(
            self.workspace,
            version=None if asked is None else str(asked),
            serves_from=serves_from_or_now(context, now=now),
            actor=actor_of(context),
            reason=params["reason"],
            now=now,
            dry_run=params["dry_run"],
            force=params["force"],
            run=decision_id(context),
        )
        for warning in receipt.warnings:
            self.log.warning("%s", warning)
        if receipt.moved and receipt.champion_version == receipt.version:
            announce_champion(
                context, self.spec, version=receipt.version, as_of=receipt.serves_from
            )
        self.log.info("%s", self._headline(receipt, is_dry=params["dry_run"]))
        rows = [
            ("champion before", receipt.previous),
            ("target", receipt.version),
            ("target knows the world up to", receipt.version_as_of.isoformat()),
            ("target was loaded and scored its example", "yes"),
            ("serves from", receipt.serves_from.isoformat()),
            ("champion now", receipt.champion_version),
        ]
        log_table(self.log, "Rollback", ("what", "value"), rows)
        return receipt

    def _headline(self, receipt: RollbackReceipt, *, is_dry: bool) -> str:
        if receipt.moved and receipt.champion_version != receipt.version:
            return (
                f"This run made version {receipt.version} champion after {receipt.previous}; since "
                f"then version {receipt.champion_version} was put in its place. Nothing was moved"
            )
        if receipt.moved:
            return f"Version {receipt.version} is the champion again, after {receipt.previous}"
        if is_dry:
            return f"Dry run: version {receipt.version} would serve. Nothing was moved"
        return f"Version {receipt.version} serves already. Nothing was moved"
