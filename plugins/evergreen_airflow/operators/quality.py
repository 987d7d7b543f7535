"""Measure what came of the predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.receipts.monitoring import QualityReceipt
from evergreen_airflow.operators.base import MonitorOperator
from evergreen_airflow.task_log import log_monitor, log_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeasureQualityOperator(MonitorOperator):
    """
    Join labels to predictions as they arrive, and measure every window they change.

    Safe to retry: the same predictions and labels give the same join and the same numbers.

    :param run: Receipt of ``wait_for_data``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.monitoring.QualityReceipt` as a plain dict.
    """

    def run_stage(self, context: Context) -> QualityReceipt:
        """Measure, then list windows, versions and slices."""
        from evergreen.monitoring.quality import measure_quality  # heavy: scikit-learn

        found = measure_quality(self.store, self.client, self.spec, as_of=self.as_of)
        log_monitor(self.log, "Quality", found)
        self.log.info(
            "%d of %d windows were measured again; %d labels had no prediction",
            found.remeasured,
            len(found.windows),
            found.unmatched,
        )
        metric = found.metric
        rows = [
            (
                w.first,
                w.last,
                w.labelled,
                w.rows,
                _shown(w.metrics[metric]),
                _shown(w.estimated[metric]),
            )
            for w in reversed(found.windows[-10:])
        ]
        windows = ("first", "last", "with a label", "rows", f"{metric}, observed", "estimated")
        log_table(self.log, "Windows, newest first", windows, rows)
        versions = [
            (v.version, v.rows, _shown(v.offline), _shown(v.realised)) for v in found.versions
        ]
        columns = ("version", "rows", "offline", "in service")
        log_table(self.log, "Promised on test days, kept in service", columns, versions)
        if found.slices:
            slices = [(s.name, s.rows, _shown(s.value)) for s in found.slices]
            log_table(
                self.log, "Slices of the newest due window", ("slice", "rows", metric), slices
            )
        return found


def _shown(value: float | None) -> float | str:
    return "none" if value is None else value
