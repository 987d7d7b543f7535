"""
What one stage hands to the next.

A receipt is small, JSON and typed: ids, keys and numbers, never a frame or a model. It travels
through XCom and is checked again where it is read.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from evergreen.receipts.common import ObjectRef
from evergreen.values import Frozen

#: Per column: distance, method, values on both sides, and Evidently's own mark.
DriftColumns = dict[str, dict[str, float | str | int | bool]]


class KeptReport(Frozen):
    """One Evidently report: a page, its numbers, and a snapshot for Evidently's own dashboard."""

    html: ObjectRef
    json_report: ObjectRef
    snapshot: ObjectRef
    columns: DriftColumns


class DriftReceipt(Frozen):
    """One drift report is in the store."""

    model: str
    as_of: datetime
    html: ObjectRef
    json_report: ObjectRef
    reference_rows: int
    current_rows: int
    columns: DriftColumns


Colour = Literal["green", "amber", "red", "unknown"]


class MonitorReceipt(Frozen):
    """
    What one monitor found for one day, and why.

    ``unknown``: there is too little data yet. ``requests_retrain``: the result calls for one.
    """

    model: str
    as_of: datetime
    day: date
    colour: Colour
    reasons: tuple[str, ...]
    requests_retrain: bool = False


class Finding(Frozen):
    """
    How far one column lies from its reference, beside what is usual and what is an alarm.

    ``can_alarm`` is False if no possible distance lies beyond the limit.
    """

    name: str
    distance: float
    usual: float
    limit: float
    can_alarm: bool = True

    @property
    def share(self) -> float:
        """How much of what is allowed was used; beyond 1 is an alarm."""
        return self.distance / self.limit if self.limit > 0 else float(self.distance > 0) * 2


class DayAlarm(Frozen):
    """Whether one day was an alarm, and by which columns; not known while history is too short."""

    day: date
    is_known: bool
    findings: tuple[Finding, ...]

    @property
    def is_alarm(self) -> bool:
        """Whether anything lies beyond its limit."""
        return bool(self.findings)


class DetectionReceipt(MonitorReceipt):
    """One day was held against its reference, and the days before it against theirs."""

    version: str
    rows: int
    reference_days: tuple[date, ...]
    reference_rows: int
    history_days: int
    alarms: tuple[DayAlarm, ...]
    columns: tuple[Finding, ...]
    report: KeptReport


class QualityWindow(Frozen):
    """
    Scored days together: the metrics observed with labels, and those estimated without.

    ``labelled`` of ``rows`` have a label; ``metrics`` are None where there are too few of them or
    all are alike, ``estimated`` where the scores say nothing of their own confidence.
    """

    first: date
    last: date
    rows: int
    labelled: int
    metrics: dict[str, float | None]
    estimated: dict[str, float | None]


class SliceQuality(Frozen):
    """The deciding metric on one slice; None if it has too few rows to tell."""

    name: str
    rows: int
    value: float | None


class VersionQuality(Frozen):
    """What one version promised on its test days and what it kept on the days it scored."""

    version: str
    days: int
    rows: int
    offline: float | None
    realised: float | None


class LateLabels(Frozen):
    """A day whose labels are due, and of which fewer arrived than usual."""

    day: date
    share: float
    usual: float


class QualityReceipt(MonitorReceipt):
    """Every scored day within reach was measured on the labels that were known at ``as_of``."""

    metric: str
    windows: tuple[QualityWindow, ...]
    remeasured: int
    slices: tuple[SliceQuality, ...]
    versions: tuple[VersionQuality, ...]
    late: tuple[LateLabels, ...]
    unmatched: int
    trivial: float | None
    estimate_error: float | None
    calibration_error: float | None
    table: ObjectRef


class ServiceReceipt(MonitorReceipt):
    """One day of the model server's requests."""

    requests: float
    usual_requests: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    error_rate: float | None
    by_version: dict[str, float]


class SkewedColumn(Frozen):
    """In what share of the rows known to both an input differs, and the first pair that does."""

    name: str
    rows: int
    share: float
    served: str
    prepared: str


class SkewReceipt(MonitorReceipt):
    """Rows that callers sent were held against the examples of the same events."""

    served: int
    compared: int
    columns: tuple[SkewedColumn, ...]


class StalenessReceipt(MonitorReceipt):
    """How old the champion and what it learnt from are, in days, beside what is allowed."""

    version: str
    champion_days: float
    champion_limit: float
    data_days: float
    data_limit: float
    challenged_days: float
    limit_from: str


class RetrainRequest(Frozen):
    """A retrain that monitor requested; ``is_replay``: in a replayed past, so no alert was sent."""

    model: str
    as_of: datetime
    reason: str
    version: str
    is_replay: bool
    recorded_at: datetime


class HealthReceipt(Frozen):
    """The one decision of a model and a day, and what was done about it."""

    model: str
    as_of: datetime
    day: date
    colour: Colour
    reasons: tuple[str, ...]
    new_reasons: tuple[str, ...]
    missing: tuple[str, ...]
    retrain: str
    request: RetrainRequest | None
    page: str
