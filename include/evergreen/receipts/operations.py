"""Receipts of reproduction, backtest, state check and housekeeping."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import model_validator

from evergreen.receipts.common import Check, ObjectRef, contradiction
from evergreen.values import Frozen


class ReproductionReceipt(Frozen):
    """A registered version was made again and compared with what was registered."""

    model: str
    as_of: datetime
    version: str
    is_identical: bool
    checks: tuple[Check, ...]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        derived = all(check.status != "failed" for check in self.checks)
        if self.is_identical != derived:
            raise contradiction("is_identical", self.is_identical, derived, "checks")
        return self


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
