"""Receipts of the stages that move data: extraction, validation, examples and scoring."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Self

from pydantic import Field, model_validator

from evergreen.receipts.common import Check, ObjectRef, contradiction
from evergreen.values import Frozen


class ExtractionReceipt(Frozen):
    """Every day that was absent or young was read from the database; rows by landed object."""

    model: str
    as_of: datetime
    days_read: int
    landed: dict[str, int]
    empty: tuple[str, ...]


class DayVerdict(Frozen):
    """
    What one day of one table held, and which of its rows must not be used.

    ``closed``: the producer says that there was nothing.
    """

    table: str
    day: date
    raw_key: str
    raw_sha256: str
    rows: int
    broken: tuple[int, ...]
    reasons: dict[str, int]
    quarantine: ObjectRef | None
    newest_event: datetime | None
    columns: dict[str, str] = Field(default_factory=dict)
    closed: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if sum(self.reasons.values()) != len(self.broken):
            raise contradiction("broken", len(self.broken), sum(self.reasons.values()), "reasons")
        if len({n for n in self.broken if 0 <= n < self.rows}) != len(self.broken):
            raise ValueError(f"broken must name rows from 0 to {self.rows - 1}, each once")
        if (self.quarantine is not None) != bool(self.broken):
            raise ValueError("quarantine must name the broken rows, and nothing without them")
        return self


class WindowVerdicts(Frozen):
    """The verdicts on all partitions of a window, under their own digest."""

    FORMAT: ClassVar[int] = 1

    verdicts: tuple[DayVerdict, ...]


class ValidationReceipt(Frozen):
    """Every day of the window was held against the contract, and none broke it."""

    model: str
    as_of: datetime
    record: ObjectRef
    days: int
    days_read: int
    rows: int
    quarantined: int
    checks: tuple[Check, ...]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        failed = [check.name for check in self.checks if check.status == "failed"]
        if failed:
            raise ValueError(f"a window that broke its contract is never kept: {', '.join(failed)}")
        return self


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


class ManifestDay(Frozen):
    """One day of a window: the part of the window it belongs to, and its examples."""

    day: date
    segment: str
    data: ObjectRef


class WindowManifest(Frozen):
    """
    Which objects a window of examples is made of; ``raw`` are digests by key.

    It lies under its own digest, so it has no format number.
    """

    FORMAT: ClassVar[int] = 1

    as_of: datetime
    digest: str
    days: tuple[ManifestDay, ...]
    raw: dict[str, str]


class Quarantined(Frozen):
    """Raw rows of a scored day that were put aside, where they are and why."""

    table: str
    rows: int
    reason: str
    object: ObjectRef | None


class PredictionsManifest(Frozen):
    """What makes the predictions of a day visible: which version made them, and of what."""

    model: str
    day: date
    version: str
    model_as_of: datetime
    artifact_sha256: str
    examples: ObjectRef
    predictions: ObjectRef
    rows: int
    quarantined: tuple[Quarantined, ...] = ()


class ScoringReceipt(Frozen):
    """One partition has predictions, and so have ``earlier_days`` that the same run scored."""

    model: str
    as_of: datetime
    day: date
    version: str
    predictions: ObjectRef
    rows: int
    mean_scores: dict[str, float]
    quarantined: tuple[Quarantined, ...] = ()
    earlier_days: tuple[date, ...] = ()
