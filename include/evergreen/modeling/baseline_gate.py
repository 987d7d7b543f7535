"""
The challenger against what costs nothing to build: the trivial answer and a plain linear model.

A gain counts if the days agree on it, not if a point estimate is large: a perfect model of rare
positives gains little in units of a loss, and an equal model is behind on every second night.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evergreen.modeling import metrics
from evergreen.modeling.gate_inputs import ModelScores, why_not_measurable
from evergreen.modeling.metrics import Labels
from evergreen.modeling.paired_gain import PairedGain, paired_gain
from evergreen.receipts.common import Check, Status
from evergreen.spec.metrics import Metric


def baseline_check(
    name: str,
    *,
    metric: Metric,
    truth: Labels,
    challenger: ModelScores,
    baseline: ModelScores,
    days: NDArray[np.int64],
    margin: float,
    confidence: float,
    is_demand: bool,
) -> Check:
    """
    Hold the challenger against one baseline on the same rows.

    A demand passes if the gain is at least *margin* and its lower bound is above 0. An allowance
    fails if the gain is below *margin* and its upper bound is below 0: then the baseline is shown
    to be better by more than is allowed. It is unknown if the gain is below *margin* but the bound
    is not below 0: the days do not tell.

    :param margin: In units of :func:`~evergreen.modeling.metrics.skill`; at most 0 for an
        allowance.
    :param days: Shape ``(rows,)``; the number of the day of each row.
    :param confidence: Of each one-sided bound.
    """
    required = _required(margin, confidence, is_demand=is_demand)
    name = f"{metric} over {name}"
    skill = metrics.skill(metric, challenger.value(metric), baseline.value(metric))
    found = paired_gain(
        truth, challenger.predictions, baseline.predictions, metric=metric, clusters=days
    )
    low, high = found.lower(confidence), found.upper(confidence)
    if not (math.isfinite(low) and math.isfinite(skill)):
        why = why_not_measurable(truth) or f"not measured from {len(np.unique(days))} days"
        return Check(name=name, status="failed", measured=why, required=required)
    status: Status
    if is_demand:
        status = "passed" if skill >= margin and low > 0 else "failed"
    else:
        status = "passed" if skill >= margin else "failed" if high < 0 else "unknown"
    return Check(
        name=name,
        status=status,
        measured=_measured(found, skill, low, high),
        required=required,
    )


def _measured(found: PairedGain, skill: float, low: float, high: float) -> str:
    text = f"{found.gain:+.4f}, {low:+.4f} to {high:+.4f} from {found.clusters} days"
    return (
        text
        if math.isclose(skill, found.gain, rel_tol=1e-6)
        else f"{text}; a share of {skill:+.1%}"
    )


def _required(margin: float, confidence: float, *, is_demand: bool) -> str:
    if is_demand:
        least = f">= {margin:g}, " if margin else ""
        return f"{least}lower bound at {confidence:.1%} > 0"
    return f">= {margin:g}, or upper bound at {confidence:.1%} >= 0"
