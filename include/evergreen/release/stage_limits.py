"""
The limits of a stage, and whether what was counted keeps them.

Sequential tests (:mod:`evergreen.release.sequential_test`), because a stage is looked at every few
seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evergreen.release.sequential_test import evidence_above, evidence_below, trials_needed
from evergreen.serving.observations import QUANTILE, LatencyHistogram
from evergreen.spec.release import RolloutLimits

#: Chance that a version within a limit backs out, and that one far beyond it passes.
FALSE_BACK_OUT, FALSE_PASS = 0.01, 0.05
#: A smaller limit is compared as this one when a stage is passed: nothing shows a share of zero.
LEAST_LIMIT = 0.001
#: A larger one is compared as this one: there must be something beyond it.
MOST_LIMIT = 0.9


@dataclass(frozen=True, kw_only=True)
class Rule:
    """
    A share of requests that must stay within a limit.

    :param text: What is allowed, for messages.
    :param tolerated: The multiple of the limit that must not pass.
    """

    text: str
    limit: float
    tolerated: float
    challenger: tuple[int, int]
    champion: tuple[int, int]

    @property
    def is_broken(self) -> bool:
        """Whether the challenger is beyond the limit, and worse than the champion meanwhile."""
        return self._is_beyond and self._is_worse

    @property
    def is_kept(self) -> bool:
        """Whether the challenger is below what must not pass."""
        return evidence_below(*self.challenger, limit=self.forbidden) >= -math.log(FALSE_PASS)

    @property
    def forbidden(self) -> float:
        """The share that must not pass, whatever the champion has."""
        limit = min(max(self.limit, LEAST_LIMIT), MOST_LIMIT)
        return min(self.tolerated * limit, (1 + limit) / 2)

    @property
    def _is_beyond(self) -> bool:
        return evidence_above(*self.challenger, limit=self.limit) >= -math.log(FALSE_BACK_OUT)

    @property
    def _is_worse(self) -> bool:
        """Of all bad requests, more are the challenger's than its share of all requests."""
        (ours, asked), (theirs, others) = self.challenger, self.champion
        if not others:
            return True
        share = asked / (asked + others)
        found = evidence_above(ours, ours + theirs, limit=share)
        return found >= -math.log(FALSE_BACK_OUT)


def rules_of(
    challenger: LatencyHistogram, champion: LatencyHistogram, limits: RolloutLimits
) -> tuple[Rule, Rule]:
    """Return the rules for failed and for slow requests, with what was counted."""
    failures = Rule(
        text=f"{limits.max_error_rate:.1%} may fail",
        limit=limits.max_error_rate,
        tolerated=3.0,
        challenger=(challenger.failed, challenger.requests),
        champion=(champion.failed, champion.requests),
    )
    slowness = Rule(
        text=f"p95 may be {limits.max_p95_ms:g} ms",
        limit=1 - QUANTILE,
        tolerated=2.0,
        challenger=(challenger.slow, challenger.requests),
        champion=(champion.slow, champion.requests),
    )
    return failures, slowness


def requests_needed(limits: RolloutLimits) -> int:
    """Return how many requests a stage needs at least before it can pass."""
    rules = rules_of(LatencyHistogram(), LatencyHistogram(), limits)
    needed = [trials_needed(rule.forbidden, alpha=FALSE_PASS) for rule in rules]
    return max(*needed, limits.min_requests or 0)
