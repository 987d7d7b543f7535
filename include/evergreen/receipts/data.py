"""Receipts of the stages that move data: extraction, validation, examples and scoring."""

from __future__ import annotations

from datetime import date, datetime

from evergreen.receipts.common import Check, ObjectRef
from evergreen.values import Frozen


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
