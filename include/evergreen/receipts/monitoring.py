"""
What one stage hands to the next.

A receipt is small, JSON and typed: ids, keys and numbers, never a frame or a model. It travels
through XCom and is checked again where it is read.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import AwareDatetime

from evergreen.receipts.common import Check, ObjectRef
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
#: The colour of a whole day is the first of these that any monitor has.
SEVERITY_ORDER: tuple[Colour, ...] = ("red", "unknown", "amber", "green")


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


class SlowFinding(Frozen):
    """
    How far the last weeks of one column lie from the weeks before them, on average.

    Of numbers ``baseline`` and ``recent`` are the probability that a row is larger than one of the
    weeks before, 0.5 if nothing moved; of categories and missing values, their share. ``by_chance``
    is how far they lie apart without drift. ``share`` above 1 is drift, and ``since`` the day on
    which it was found.
    """

    name: str
    baseline: float
    recent: float
    by_chance: float
    share: float
    since: date | None

    @property
    def meaning(self) -> str:
        """What the two numbers are, in words."""
        if self.name.endswith(": missing"):
            return "share of rows without a value"
        if " = " in self.name:
            return "share of rows with that category"
        return "probability that a row is larger than one of the seven weeks"


class DayAlarm(Frozen):
    """
    Whether one day was an alarm, and by which columns; not known while history is too short.

    ``findings``: what lies beyond its limit on that day. ``slow``: slow drift found on that day.
    """

    day: date
    is_known: bool
    findings: tuple[Finding, ...]
    slow: tuple[SlowFinding, ...] = ()

    @property
    def is_alarm(self) -> bool:
        """Whether anything lies beyond its limit, or slow drift was found."""
        return bool(self.findings or self.slow)


class DetectionReceipt(MonitorReceipt):
    """
    One day was held against its reference, and the days before it against theirs.

    ``slow``: the last weeks against the weeks before them, None while there are too few days.
    """

    version: str
    rows: int
    reference_days: tuple[date, ...]
    reference_rows: int
    history_days: int
    alarms: tuple[DayAlarm, ...]
    columns: tuple[Finding, ...]
    slow: tuple[SlowFinding, ...] | None = None
    report: KeptReport


class QualityWindow(Frozen):
    """
    Scored days together: the metrics observed with labels, and those estimated without.

    ``labelled`` of ``rows`` have a label; ``metrics`` are None where there are too few of them or
    all are alike, ``estimated`` where nothing can be estimated. ``is_calibrated``: enough labels
    were known before to tell what became of like predictions.
    """

    first: date
    last: date
    rows: int
    labelled: int
    metrics: dict[str, float | None]
    estimated: dict[str, float | None]
    is_calibrated: bool = False


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


class Decline(Frozen):
    """
    What a version gains over a constant answer in service, beside its own test days.

    ``lower``: by how much it fell at least, at 99 %, with days as clusters; above 0 it is shown to
    have fallen. ``checks`` hold its calibration in service to the limits of the gates.
    """

    version: str
    days: int
    rows: int
    on_test_days: float
    in_service: float
    lower: float
    checks: tuple[Check, ...]

    @property
    def drop(self) -> float:
        """How much less it gains than on its test days."""
        return self.on_test_days - self.in_service


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
    decline: Decline | None = None


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
    as_of: AwareDatetime
    reason: str
    version: str
    is_replay: bool
    recorded_at: AwareDatetime


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
