"""
What one stage hands to the next.

A receipt is small, JSON and typed: ids, keys and numbers, never a frame or a model. It travels
through XCom and is checked again where it is read.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar, Literal

from pydantic import JsonValue

from evergreen.values import Frozen

#: Parameters of a pipeline, by scikit-learn's names.
Params = dict[str, bool | int | float | str | None]
Status = Literal["passed", "failed", "unknown"]


class ObjectRef(Frozen):
    """One immutable object in the store, with the digest every reader checks."""

    key: str
    sha256: str
    size: int


class RunReceipt(Frozen):
    """The instant a run lives at, resolved once and passed on."""

    model: str
    as_of: datetime
    reason: str
    partitions: int


class Check(Frozen):
    """One rule, what was measured and what was required."""

    name: str
    status: Status
    measured: str
    required: str


class ExtractionReceipt(Frozen):
    """Every day that was absent or young was read from the database; rows by landed object."""

    model: str
    as_of: datetime
    days_read: int
    landed: dict[str, int]
    empty: tuple[str, ...]


class ValidationReceipt(Frozen):
    """Every day of the window was held against the contract."""

    model: str
    as_of: datetime
    record: ObjectRef
    days: int
    days_read: int
    rows: int
    quarantined: int
    checks: tuple[Check, ...]


class ExamplesReceipt(Frozen):
    """Every day of the window has prepared examples."""

    model: str
    as_of: datetime
    manifest: ObjectRef
    digest: str
    days: int
    days_prepared: int
    rows: int
    labelled: dict[str, int]
    classes: dict[str, dict[str, int]]


class CandidateReceipt(Frozen):
    """A candidate was fitted and logged."""

    model: str
    as_of: datetime
    candidate: str
    key: str
    run_id: str
    model_id: str
    artefact_sha256: str
    artefact_bytes: int
    params: Params
    trials: int
    validation: dict[str, float]


class Importance(Frozen):
    """What shuffling one input costs on the primary metric, and the standard error of that."""

    name: str
    cost: float
    error: float

    @property
    def is_useless(self) -> bool:
        """Whether the model is as good without what the input says."""
        return not self.cost > 2 * self.error


class Bin(Frozen):
    """One group of rows with like predictions: what was said, what came (means), how many rows."""

    said: float
    came: float
    rows: int


class Curves(Frozen):
    """How well one model's predictions fit what came, and how well they order the rows."""

    calibration: tuple[Bin, ...]
    lift: tuple[tuple[float, float], ...]


class EvaluationDetails(Frozen):
    """What a person wants to see beyond the gates: aggregates only, never a row."""

    curves: dict[str, Curves]
    importances: tuple[Importance, ...]


class EvaluationReceipt(Frozen):
    """The best candidate was judged on untouched days."""

    model: str
    as_of: datetime
    challenger: CandidateReceipt
    candidates: tuple[CandidateReceipt, ...]
    champion_version: str | None
    record_key: str
    test_rows: int
    metrics: dict[str, dict[str, float | None]]
    gates: tuple[Check, ...]
    passed: bool
    details: ObjectRef


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


class Watched(Frozen):
    """
    What one watcher found for one day, and why.

    ``unknown``: there is too little to tell yet. ``asks``: what it found calls for a retrain.
    """

    model: str
    as_of: datetime
    day: date
    colour: Colour
    reasons: tuple[str, ...]
    asks: bool = False


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
    """Whether one day was an alarm, and by which columns; not told while history is too short."""

    day: date
    is_told: bool
    findings: tuple[Finding, ...]

    @property
    def is_alarm(self) -> bool:
        """Whether anything lies beyond its limit."""
        return bool(self.findings)


class DetectionReceipt(Watched):
    """One day was held against its reference, and the days before it against theirs."""

    version: str
    rows: int
    reference_days: tuple[date, ...]
    reference_rows: int
    history_days: int
    alarms: tuple[DayAlarm, ...]
    columns: tuple[Finding, ...]
    report: KeptReport


class Window(Frozen):
    """
    Scored days together: what came true of what was said, and what the scores promised.

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
    """A day whose labels are due, and of which fewer came than usually do."""

    day: date
    share: float
    usual: float


class QualityReceipt(Watched):
    """Every scored day within reach was measured on the labels that were known at ``as_of``."""

    metric: str
    windows: tuple[Window, ...]
    remeasured: int
    slices: tuple[SliceQuality, ...]
    versions: tuple[VersionQuality, ...]
    late: tuple[LateLabels, ...]
    unmatched: int
    trivial: float | None
    estimate_error: float | None
    calibration_error: float | None
    table: ObjectRef


class ServiceReceipt(Watched):
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


class SkewReceipt(Watched):
    """Rows that callers sent were held against the examples of the same events."""

    served: int
    compared: int
    columns: tuple[SkewedColumn, ...]


class StalenessReceipt(Watched):
    """How old the champion and what it learnt from are, in days, beside what is allowed."""

    version: str
    champion_days: float
    champion_limit: float
    data_days: float
    data_limit: float
    challenged_days: float
    limit_from: str


class Request(Frozen):
    """A retrain that monitor asked for; ``is_replay``: in a replayed past, so nobody was told."""

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
    silent: tuple[str, ...]
    retrain: str
    request: Request | None
    page: str


class ScoredTest(Frozen):
    """One test of the ML Test Score: 0, 0.5 or 1, and what it was given for."""

    name: str
    points: float
    evidence: str


class ScoredSection(Frozen):
    """One of the four sections of the ML Test Score."""

    name: str
    tests: tuple[ScoredTest, ...]

    @property
    def total(self) -> float:
        """Points of the section, of one per test."""
        return sum(test.points for test in self.tests)


class TestScore(Frozen):
    """The ML Test Score of one version: the least of its sections."""

    __test__: ClassVar[bool] = False  # pytest collects names that begin with Test

    sections: tuple[ScoredSection, ...]
    total: float


class VersionIdentity(Frozen):
    """Everything that made a version: enough to make it again and to say what differs."""

    model: str
    key: str
    as_of: datetime
    challenger: CandidateReceipt
    candidates: tuple[CandidateReceipt, ...]
    validation: ValidationReceipt
    examples: ExamplesReceipt
    drift: DriftReceipt
    store_uri: str
    days: dict[str, str]
    spec: dict[str, JsonValue]
    spec_digest: str
    code_digest: str
    git_sha: str
    git_dirty: bool | None
    environment: dict[str, str]
    run: dict[str, str]


class RegistrationReceipt(Frozen):
    """The challenger has a version in the model registry."""

    model: str
    as_of: datetime
    version: str
    key: str
    created: bool
    passed: bool
    judged_against: str | None
    evidence: str
    run_id: str
    experiment_id: str


class ApprovalReceipt(Frozen):
    """What a person said, or why nobody was asked."""

    model: str
    as_of: datetime
    version: str
    judged_against: str | None
    asked: bool
    approved: bool
    actor: str
    words: str


class DeploymentReceipt(Frozen):
    """
    Which version serves after this run, and why.

    ``moved``: this run made ``version`` champion, in this try or an earlier one.
    """

    model: str
    as_of: datetime
    version: str
    champion_version: str | None
    moved: bool
    reason: str
    is_backed_out: bool = False


class PromotionReceipt(Frozen):
    """
    A version was judged beside the champion of another environment, and registered there.

    ``judged_against`` is that champion. After a dry run there is no ``registration``.
    """

    model: str
    as_of: datetime
    version: str
    to: str
    passed: bool
    judged_against: str | None
    test_rows: int
    gates: tuple[Check, ...]
    registration: RegistrationReceipt | None


def registration_in(receipt: dict[str, Any]) -> RegistrationReceipt | None:
    """
    Return the registration that ``register_model`` or ``promote_model`` handed on as *receipt*.

    :return: None after a dry run of a promotion.
    """
    if "registration" in receipt:
        return PromotionReceipt.model_validate(receipt).registration
    return RegistrationReceipt.model_validate(receipt)


class RollbackReceipt(Frozen):
    """
    What a rollback run did, and what was forced for it.

    ``moved``: this run made ``version`` champion, in this try or an earlier one.
    ``champion_version`` is what serves now: after a later change, not ``version`` any more.
    """

    model: str
    as_of: datetime
    previous: str | None
    version: str
    version_as_of: datetime
    champion_version: str | None
    moved: bool
    warnings: tuple[str, ...]


class ReproductionReceipt(Frozen):
    """A registered version was made again and compared with what was registered."""

    model: str
    as_of: datetime
    version: str
    is_identical: bool
    checks: tuple[Check, ...]


class BacktestReceipt(Frozen):
    """What would have happened over a range of nights, as a table and a plot."""

    model: str
    first: datetime
    last: datetime
    nights: int
    promotions: int
    days: int
    rows: int
    metric: str
    pooled: dict[str, float]
    table: ObjectRef
    plot: ObjectRef


class StateReceipt(Frozen):
    """The invariants of a model were checked."""

    model: str
    as_of: datetime
    checks: tuple[Check, ...]


class HousekeepingReceipt(Frozen):
    """What was too old, and whether it was removed."""

    model: str
    as_of: datetime
    dry_run: bool
    removed: dict[str, int]
    kept_versions: int
    record: ObjectRef | None


class Quarantined(Frozen):
    """Raw rows of a scored day that were put aside, where they are and why."""

    table: str
    rows: int
    reason: str
    object: ObjectRef | None


class ScoringReceipt(Frozen):
    """One partition has predictions."""

    model: str
    as_of: datetime
    day: date
    version: str
    predictions: ObjectRef
    rows: int
    mean_scores: dict[str, float]
    quarantined: tuple[Quarantined, ...] = ()
