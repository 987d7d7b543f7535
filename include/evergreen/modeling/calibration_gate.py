"""
Whether probabilities and numbers mean what they say, beyond what the days explain by chance.

Two questions. Is the mean distance between predicted and actual shares small? Is each class about
as frequent as predicted? The second guards rare classes, of which the first sees nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evergreen.modeling import metrics
from evergreen.modeling.gate_inputs import GateInputs, days_of_rows, why_not_measurable
from evergreen.modeling.metrics import Labels, Predictions
from evergreen.modeling.slice_gate import holm
from evergreen.receipts.common import Check, Status
from evergreen.spec import ModelSpec

#: A deviation counts if chance alone shows one as large less often than this.
LEVEL = 0.025
#: With fewer days than this a test that flips the signs of days cannot reach the level.
MIN_DAYS = 7
#: Up to so many days every combination of signs is tried, and as many random ones beyond.
ALL_SIGNS_UP_TO = 11
CALIBRATION, FREQUENCY = "calibration error", "predicted over actual frequency"


@dataclass(frozen=True, kw_only=True)
class CalibrationInputs:
    """
    What the checks of calibration look at.

    ``days``: the number of the day of each row, shape ``(rows,)``. ``champion``: its predictions of
    the same rows. ``why``: why nothing can be measured, if so. ``without_days``: the verdict on a
    value beyond its limit if there are too few days to tell it from chance.
    """

    truth: Labels
    predictions: Predictions
    days: NDArray[np.int64]
    champion: Predictions | None = None
    why: str | None = None
    without_days: Status = "failed"


def calibration_checks(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    """
    Yield the check of the calibration error, and for classes the one of their frequency.

    Each fails if its limit is exceeded and chance does not explain it; exceeded, but explained by
    chance, is unknown. The champion's value on the same rows is allowed in any case. Where there
    are too few days to tell it from chance, a value beyond the limit fails.
    """
    why = why_not_measurable(contest.truth)
    if contest.challenger.bad_rows:
        why = f"not measured: {contest.challenger.bad_rows} predictions are not finite"
    asked = CalibrationInputs(
        truth=contest.truth,
        predictions=contest.challenger.predictions,
        days=days_of_rows(spec, contest.test),
        champion=contest.champion.predictions if contest.champion is not None else None,
        why=why,
    )
    yield calibration_check(asked, most=spec.gates.max_calibration_error)
    if contest.truth.problem != "regression":
        yield frequency_check(asked, most=spec.gates.max_calibration_ratio)


def calibration_check(asked: CalibrationInputs, *, most: float) -> Check:
    """Hold the calibration error to *most*, or to the champion's."""
    truth, champion = asked.truth, asked.champion
    required = f"<= {most:g}"
    if champion is not None:
        required += " or the champion's"
    if asked.why:
        return Check(name=CALIBRATION, status="failed", measured=asked.why, required=required)
    error = metrics.calibration_error(truth, asked.predictions)
    measured = f"{error:.4f}"
    if champion is not None:
        theirs = metrics.calibration_error(truth, champion)
        measured += f", champion {theirs:.4f}"
        most = float(np.fmax(most, theirs))
    status: Status = "passed"
    if not error <= most:
        residuals, groups = metrics.calibration_residuals(truth, asked.predictions)
        chance = chance_of(residuals, groups, asked.days)
        status, text = _beyond(chance, level=LEVEL, without_days=asked.without_days)
        measured += text
    return Check(name=CALIBRATION, status=status, measured=measured, required=required)


def frequency_check(asked: CalibrationInputs, *, most: float) -> Check:
    """Hold how often each class is predicted to *most* times its frequency, or its part of that."""
    truth, champion = asked.truth, asked.champion
    required = f"{1 / most:.2g} to {most:g} times for each class"
    if champion is not None:
        required += ", or the champion's"
    if asked.why:
        return Check(name=FREQUENCY, status="failed", measured=asked.why, required=required)
    names, actual, predicted = _by_class(truth, asked.predictions)
    ratios = _ratios(actual, predicted)
    allowed = np.full(len(names), most)
    if champion is not None:
        allowed = np.fmax(allowed, _ratios(actual, _by_class(truth, champion)[2]))
    beyond = ~(ratios <= allowed)
    p_values = [
        _chance_of_frequency(actual[:, n], predicted[:, n], asked.days) if is_beyond else math.nan
        for n, is_beyond in enumerate(beyond)
    ]
    rejected = holm(p_values, level=LEVEL)
    order = np.where(rejected, np.inf, 0) if any(rejected) else np.nan_to_num(ratios / allowed)
    worst = int(np.argmax(order))
    measured = (
        f"{names[worst]}: {predicted[:, worst].sum():.1f} predicted, "
        f"{actual[:, worst].sum():.0f} actual"
    )
    status: Status = "passed"
    if beyond.any():
        level = LEVEL if rejected[worst] else 0.0
        status, text = _beyond(p_values[worst], level=level, without_days=asked.without_days)
        measured += text
    return Check(name=FREQUENCY, status=status, measured=measured, required=required)


def _beyond(chance: float, *, level: float, without_days: Status) -> tuple[Status, str]:
    """Return the verdict on a value beyond its limit, and the end of the sentence about it."""
    if math.isnan(chance):
        return without_days, "; too few days to tell it from chance"
    if chance <= level:
        return "failed", f"; by chance in {chance:.1%}"
    return "unknown", f"; may be chance ({chance:.1%})"


def chance_of(
    residuals: NDArray[np.float64], groups: NDArray[np.int64], days: NDArray[np.int64]
) -> float:
    """
    Return how often chance alone gives a calibration error as large as the one of *residuals*.

    Rows of a day may depend on each other in any way. Of one group it is a t-test of the sums of
    days, two-sided. Of several: if predictions are calibrated, the residuals of a day are as likely
    to have the other sign. The error is computed again with the signs of whole days flipped, in all
    combinations up to 11 days and in 1,024 random ones beyond (Canay, Romano and Shaikh,
    "Randomization Tests Under an Approximate Symmetry Assumption", Econometrica 85(3), 2017).

    :param residuals: Shape ``(rows,)``, actual less predicted.
    :param groups: Shape ``(rows,)``; the group of each row, from 0.
    :param days: Shape ``(rows,)``; the day of each row.
    :return: A p-value; NaN from one day, and of several groups from fewer than 7 days.
    """
    numbers = np.unique(days, return_inverse=True)[1]
    shape = (int(numbers.max()) + 1, int(groups.max()) + 1)
    sums = np.zeros(shape)
    np.add.at(sums, (numbers, groups), residuals)
    if len(sums) < (2 if shape[1] == 1 else MIN_DAYS):
        return math.nan
    if shape[1] == 1:
        return float(stats.ttest_1samp(sums[:, 0], 0.0).pvalue)
    observed = np.abs(sums.sum(axis=0)).sum()
    flipped = np.abs(_signs(shape[0]) @ sums).sum(axis=1)
    return float(np.mean(flipped >= observed * (1 - 1e-9)))


def _signs(days: int) -> NDArray[np.float64]:
    """Return combinations of signs, shape ``(combinations, days)``; the first keeps them all."""
    if days <= ALL_SIGNS_UP_TO:
        # The other half gives the same errors.
        return np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=days - 1)])
    drawn = np.random.default_rng(0).choice((1.0, -1.0), (2 ** (ALL_SIGNS_UP_TO - 1), days))
    drawn[0] = 1.0
    return drawn


def _chance_of_frequency(
    actual: NDArray[np.float64], predicted: NDArray[np.float64], days: NDArray[np.int64]
) -> float:
    """
    Return how often chance alone gives a count as far from the predicted one as *actual* has.

    The larger of two p-values: a t-test of days, which allows for days that differ, and Poisson
    counts (two-sided), which allow for counts that are small. NaN from one day.
    """
    by_days = chance_of(actual - predicted, np.zeros(len(actual), dtype=np.int64), days)
    count, expected = actual.sum(), predicted.sum()
    tail = (
        stats.poisson.cdf(count, expected)
        if count < expected
        else stats.poisson.sf(count - 1, expected)
    )
    return math.nan if math.isnan(by_days) else max(by_days, min(1.0, 2 * float(tail)))


def _by_class(
    truth: Labels, predictions: Predictions
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Return the names of the classes and, shape ``(rows, classes)``, what each row is of them."""
    if truth.problem == "binary":
        labels = truth.values.astype(np.float64)
        names = ["positive class", "negative class"]
        actual, predicted = (np.column_stack([v, 1 - v]) for v in (labels, predictions))
        return names, actual, predicted
    return list(truth.classes), np.eye(len(truth.classes))[truth.values], predictions


def _ratios(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each class how many times too often or too rarely it is predicted, at least 1."""
    found, expected = actual.sum(axis=0), predicted.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.fmax(expected / found, found / expected)
    ratios: NDArray[np.float64] = np.where((found == 0) & (expected == 0), 1.0, both)
    return ratios
