"""Hold what callers send against the examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.receipts import RunReceipt, SkewReceipt
from evergreen.skew import measure_skew
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_table, log_watched

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeasureSkewOperator(StageOperator):
    """
    Compare rows that the model server answered with the prepared examples of the same events.

    Safe to retry: it reads.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.SkewReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "run")
    template_fields_renderers: ClassVar[dict[str, str]] = {"run": "json"}
    ui_color = "#efe6f7"

    def __init__(self, *, run: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run

    def run_stage(self, context: Context) -> SkewReceipt:
        """Compare, then list the inputs, those that differ most first."""
        as_of = RunReceipt.model_validate(self.run).as_of
        found = measure_skew(self.store, self.spec, as_of=as_of)
        log_watched(self.log, "Skew", found)
        rows = [(c.name, f"{c.share:.1%}", c.served, c.prepared) for c in found.columns]
        title = f"{found.compared} of {found.served} served rows are examples of {found.day}"
        log_table(self.log, title, ("input", "differs in", "served", "prepared"), rows)
        return found
