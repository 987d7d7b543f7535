"""Prepare the examples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from evergreen.data.window import SEGMENTS, training_window
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class PrepareExamplesOperator(StageOperator):
    """
    Turn the days of the window into examples; only days that changed are made.

    Safe to retry: days are immutable objects under the digest of what made them.

    :param validation: Receipt of ``validate_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.data.ExamplesReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "validation")
    template_fields_renderers: ClassVar[dict[str, str]] = {"validation": "json"}
    ui_color = "#e8f4ea"

    def __init__(self, *, validation: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validation = validation

    def run_stage(self, context: Context) -> ExamplesReceipt:
        """Prepare, then say which rows each segment has."""
        from evergreen.data.preparation import prepare_window  # heavy: pandas

        validation = ValidationReceipt.model_validate(self.validation)
        window = training_window(validation.as_of, self.spec.window)
        receipt = prepare_window(self.store, self.spec, window=window, validation=validation)
        self.log.info(
            "%d examples in %d days, of which %d were prepared now; digest %s",
            receipt.rows,
            receipt.days,
            receipt.days_prepared,
            receipt.digest,
        )
        rows = [
            (
                segment,
                getattr(window, segment),
                receipt.labelled[segment],
                _shares(receipt.classes[segment]),
            )
            for segment in SEGMENTS
        ]
        columns = ("segment", "days", "rows with a known label", "labels")
        log_table(self.log, "Examples known at as_of", columns, rows)
        return receipt


def _shares(classes: dict[str, int]) -> str:
    """Say how the labels divide; numbers do not."""
    total = sum(classes.values())
    return ", ".join(f"{name} {count / total:.1%}" for name, count in classes.items()) or "numbers"
