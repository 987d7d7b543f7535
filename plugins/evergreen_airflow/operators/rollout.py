"""What the tasks that bring a version to the callers share: they wait without a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from evergreen.release.targets import Waiting
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.triggers.rollout import RolloutTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class RolloutOperator(StageOperator):
    """
    Bring a version to the callers; while it proves itself the task is deferred.

    :param poll_s: Seconds between two looks at a stage.
    """

    ui_color = "#fbe5e1"

    def __init__(self, *, poll_s: float = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.poll_s = poll_s

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after a wait: everything is looked at again, as at the start."""
        return self.execute(context)

    def wait(self, waiting: Waiting, *, store_conn_id: str) -> NoReturn:
        """Defer until there is something to do on the stage in that store's ledger."""
        self.defer(
            trigger=RolloutTrigger(
                store_conn_id=store_conn_id,
                model=self.model,
                number=waiting.number,
                poll_s=self.poll_s,
            ),
            method_name="resume",
        )
        raise AssertionError("a deferred task does not go on")
