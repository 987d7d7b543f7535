"""What the receipts of several stages share."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from evergreen.values import Frozen

Status = Literal["passed", "failed", "unknown"]


class ObjectRef(Frozen):
    """One immutable object in the store, with the digest every reader checks."""

    key: str
    sha256: str
    size: int


class RunReceipt(Frozen):
    """
    The instant a run lives at, resolved once and passed on.

    ``first_day``: the first of the days that a score run answers for; None is the newest only.
    """

    model: str
    as_of: datetime
    reason: str
    partitions: int
    first_day: date | None = None


class Check(Frozen):
    """One rule, what was measured and what was required."""

    name: str
    status: Status
    measured: str
    required: str


def contradiction(field: str, found: object, derived: object, parts: str) -> ValueError:
    """Return the error of a verdict that its own parts contradict."""
    return ValueError(
        f"{field} is {found!r}, but its {parts} give {derived!r}: one of them was changed"
    )


class StageReceipt(Frozen):
    """The checks of a further stage. The evidence of the version shows them."""

    model: str
    as_of: datetime
    checks: tuple[Check, ...]
