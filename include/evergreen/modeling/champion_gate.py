"""The champion gate as one check, for the gates of a run and for anybody's predictions."""

from __future__ import annotations

from evergreen.receipts.common import Check
from evergreen.spec.metrics import Metric
from evergreen.spec.modeling import ChampionGate


def champion_check_name(metric: Metric) -> str:
    """Return the name of the check on pages and in messages."""
    return f"{metric} over the champion"


def champion_check(
    metric: Metric, *, gain: float, lower_bound: float, days: int, rule: ChampionGate
) -> Check:
    """
    Hold the gain over the champion against *rule*; what could not be measured has not passed.

    :param gain: As :func:`~evergreen.modeling.paired_gain.paired_gain` returns it, in units of the
        metric or as a share; NaN if it could not be measured.
    :param lower_bound: The lower bound of *gain* at the confidence of *rule*, or NaN.
    :param days: Number of clusters that the bound was computed from.
    """
    return Check(
        name=champion_check_name(metric),
        status="passed" if lower_bound > rule.margin else "failed",  # false for NaN
        measured=f"{gain:+.4f}, lower bound {lower_bound:+.4f} from {days} days",
        required=f"lower bound at {rule.confidence:.1%} > {rule.margin:g}",
    )
