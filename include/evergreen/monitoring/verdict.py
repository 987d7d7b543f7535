"""What a monitor concludes from what it measured."""

from __future__ import annotations

from dataclasses import dataclass

from evergreen.receipts.monitoring import Colour


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The colour of a day, the reasons for it, and whether they call for a retrain."""

    colour: Colour
    reasons: tuple[str, ...]
    requests_retrain: bool
