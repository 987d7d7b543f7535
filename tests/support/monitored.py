"""One day of a model scored and monitored, stage by stage, without a scheduler."""

from __future__ import annotations

from datetime import datetime, timedelta

from evergreen.data.validation import validate_window
from evergreen.data.window import DayRange, scoring_day
from evergreen.monitoring.health import Report, assess_health
from evergreen.monitoring.monitors import monitors_of
from evergreen.receipts.monitoring import HealthReceipt
from evergreen.scoring.scoring import score_partition
from evergreen.workspace import Workspace


def score_day(workspace: Workspace, as_of: datetime) -> None:
    """Score the newest whole day at *as_of*."""
    day = scoring_day(as_of)
    span = DayRange(first=day, end=day + timedelta(days=1))
    validation = validate_window(
        workspace.store, workspace.spec, as_of=as_of, days=span, serving=True
    )
    score_partition(workspace, as_of=as_of, validation=validation)


def monitor_day(workspace: Workspace, as_of: datetime) -> tuple[HealthReceipt, Report]:
    """Score and monitor the newest whole day at *as_of*, as the DAGs do."""
    score_day(workspace, as_of)
    report = Report(
        results={
            monitor.name: monitor.measure(workspace, as_of)
            for monitor in monitors_of(workspace.spec)
        }
    )
    health = assess_health(workspace, as_of=as_of, report=report, is_replay=False, now=as_of)
    return health, report
