"""The champion gate as one check, for the gates of a run and for anybody's predictions."""

from __future__ import annotations

import math

from evergreen.modeling.paired_gain import PairedGain
from evergreen.receipts.common import Check
from evergreen.spec.metrics import Metric
from evergreen.spec.modeling import ChampionGate


def champion_check_name(metric: Metric) -> str:
    """Return the name of the check on pages and in messages."""
    return f"{metric} over the champion"


def champion_check(
    metric: Metric, *, found: PairedGain, days: int, rule: ChampionGate, level: float | None = None
) -> Check:
    """
    Hold the gain over the champion against *rule*; what could not be measured has not passed.

    A gain that is claimed because it passed is too large on average, so the corrected one is shown
    beside it (:meth:`~evergreen.modeling.paired_gain.PairedGain.corrected`).

    :param found: In units of the metric or as a share; NaN where it could not be measured.
    :param days: Number of clusters that the bound is computed from.
    :param level: 1 less the confidence of the bound, in place of that of *rule*.
    """
    confidence = rule.confidence if level is None else 1 - level
    lower = found.lower(confidence)
    is_met = lower > rule.margin  # false for NaN
    measured = f"{found.gain:+.4f}"
    if is_met:
        measured += f" ({found.corrected(confidence):+.4f} corrected for selection)"
    return Check(
        name=champion_check_name(metric),
        status="passed" if is_met else "failed",
        measured=f"{measured}, lower bound {lower:+.4f} from {days} days",
        required=f"lower bound at {confidence_text(confidence)} > {rule.margin:g}",
    )


def confidence_text(confidence: float) -> str:
    """Return *confidence* with as many digits as its distance to 1 needs."""
    digits = max(1, math.ceil(-math.log10(1 - confidence)) - 1)
    return f"{confidence:.{digits}%}"
