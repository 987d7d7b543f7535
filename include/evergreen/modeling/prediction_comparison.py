"""Compare anybody's predictions with those of a champion by the rule of the champion gate."""

from __future__ import annotations

import math
import warnings
from typing import Literal, get_args

import numpy as np
import pandas as pd
from pydantic import ValidationError

from evergreen.errors import ComparisonError
from evergreen.modeling import metrics
from evergreen.modeling.champion_gate import champion_check
from evergreen.modeling.metrics import Predictions
from evergreen.modeling.paired_gain import paired_gain
from evergreen.modeling.prediction_rows import MatchedRows, PredictionColumns, match_rows
from evergreen.receipts.common import Check
from evergreen.spec.data import Problem
from evergreen.spec.metrics import METRIC_DEFINITIONS, Metric, metrics_of
from evergreen.spec.modeling import ChampionGate
from evergreen.values import Frozen

DEFAULTS = ChampionGate()


class Comparison(Frozen):
    """
    Whether a challenger may replace the champion, and why.

    ``gain`` is in units of ``metric``, or a share of the champion's error for an error in the
    label's own units. What could not be measured is None, and then the verdict is ``hold``.
    ``metrics`` has every metric of the problem by model; None for one that was not measured.
    """

    verdict: Literal["promote", "hold"]
    metric: Metric
    gain: float | None
    lower_bound: float | None
    rows: int
    days: int
    reason: str
    check: Check
    metrics: dict[str, dict[Metric, float | None]]

    def summary_json(self) -> str:
        """Return the verdict and its numbers as one JSON object, without the other metrics."""
        return self.model_dump_json(exclude={"check", "metrics"})

    def text(self) -> str:
        """Return a page for a terminal: the verdict first, then the check, then all metrics."""
        lines = [
            f"{self.verdict.upper()}  {self.rows} rows, {self.days} days",
            _words(self.check),
        ]
        if self.reason not in lines:
            lines.append(self.reason)
        names = list(self.metrics["challenger"])
        width = max(map(len, names))
        lines += ["", f"{'':{width}}  {'challenger':>12}  {'champion':>12}"]
        for name in names:
            values = (self.metrics[who][name] for who in ("challenger", "champion"))
            shown = ("not measured" if value is None else f"{value:.4f}" for value in values)
            lines.append(f"{name:{width}}  " + "  ".join(f"{value:>12}" for value in shown))
        return "\n".join(lines)


def compare_predictions(
    champion: pd.DataFrame,
    challenger: pd.DataFrame,
    *,
    label: str,
    day: str,
    problem: str,
    metric: Metric | None = None,
    keys: tuple[str, ...] = (),
    positive: str | None = None,
    confidence: float = DEFAULTS.confidence,
    margin: float = DEFAULTS.margin,
) -> Comparison:
    """
    Hold *challenger* against *champion* on the same rows, as the champion gate does.

    Each frame has one row for each prediction and the column ``prediction``: the probability of the
    positive class, or a number. For several classes it has one column of probabilities for each,
    named as the class or ``prediction_<class>``. Other columns are ignored.

    :param problem: ``binary``, ``multiclass`` or ``regression``.
    :param label: Column with what happened, in one of the frames or the same in both: for a binary
        problem booleans, 0 and 1, or two values of which *positive* is one.
    :param day: Column with the day of each row, as *label*: dates, instants (their UTC day counts),
        or names. Rows of one day may depend on each other in any way.
    :param metric: The metric that decides; the default of *problem* if None.
    :param keys: Columns that identify a row in both frames; rows are matched by position if empty.
    :param positive: The positive class of a binary label.
    :param confidence: Of the one-sided lower bound, between 0.5 and 1.
    :param margin: What the lower bound must exceed, in the units of the gain, at least 0.
    :raises ComparisonError: If the frames or the options cannot be used.
    """
    kind = _problem_of(problem)
    decisive = _metric_of(kind, metric)
    rule = _rule(confidence, margin)
    columns = PredictionColumns(
        label=label, day=day, problem=kind, keys=tuple(dict.fromkeys(keys)), positive=positive
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of scikit-learn, about classes that have no row
        rows = match_rows(champion, challenger, columns=columns)
        if METRIC_DEFINITIONS[decisive].needs_classes:
            _require_probabilities(rows, decisive)
        return _compare(rows, decisive, rule)


def _problem_of(name: str) -> Problem:
    known: tuple[Problem, ...] = get_args(Problem)
    for problem in known:
        if problem == name:
            return problem
    raise ComparisonError(
        f"The problem is {name}; expected one of {', '.join(known)}. Correct --problem."
    )


def _metric_of(problem: Problem, metric: Metric | None) -> Metric:
    known = metrics_of(problem)
    if metric is not None and metric not in known:
        raise ComparisonError(
            f"The metric is {metric}; expected one of a {problem} problem: {', '.join(known)}. "
            "Correct --metric."
        )
    return metric or known[0]


def _rule(confidence: float, margin: float) -> ChampionGate:
    try:
        return ChampionGate(confidence=confidence, margin=margin)
    except ValidationError as error:
        found = error.errors()[0]
        raise ComparisonError(
            f"{found['loc'][0]} is {found['input']}: {found['msg']}. Correct the option."
        ) from None


def _require_probabilities(rows: MatchedRows, metric: Metric) -> None:
    for name, values in (("champion", rows.champion), ("challenger", rows.challenger)):
        finite = values[np.isfinite(values)]
        if (bad := finite[(finite < 0) | (finite > 1)]).size:
            raise ComparisonError(
                f"{bad.size} predictions of the {name} are outside 0 to 1, such as {bad[0]:g}; "
                f"{metric} needs probabilities. Write what predict_proba returns, or choose "
                "another metric."
            )


def _compare(rows: MatchedRows, metric: Metric, rule: ChampionGate) -> Comparison:
    found = paired_gain(
        rows.truth, rows.challenger, rows.champion, metric=metric, clusters=rows.days
    )
    lower = found.lower(rule.confidence)
    days = len(np.unique(rows.days))
    check = champion_check(metric, found=found, days=days, rule=rule)
    return Comparison(
        verdict="promote" if check.status == "passed" else "hold",
        metric=metric,
        gain=_finite(found.gain),
        lower_bound=_finite(lower),
        rows=len(rows.truth),
        days=days,
        reason=_words(check) if math.isfinite(lower) else _why_not_measured(rows, days),
        check=check,
        metrics={
            "challenger": _measure(rows, rows.challenger),
            "champion": _measure(rows, rows.champion),
        },
    )


def _words(check: Check) -> str:
    return f"{check.name}: {check.measured}; required: {check.required}"


def _why_not_measured(rows: MatchedRows, days: int) -> str:
    total = len(rows.truth)
    bad = {
        name: count
        for name, values in (("champion", rows.champion), ("challenger", rows.challenger))
        if (count := metrics.bad_rows(values))
    }
    if bad:
        whose = " and ".join(
            f"{count} of {total} predictions of the {name}" for name, count in bad.items()
        )
        return (
            f"Not measured: {whose} are null, NaN or infinite. Write a finite number for each row, "
            "or leave these rows out of both files."
        )
    if not rows.truth.is_measurable:
        return f"Not measured: all {total} rows have the same label. Compare rows that differ."
    if days < 2:
        return "Not measured: all rows are of one day. Compare at least two days."
    if rows.truth.problem != "regression":
        return (
            "Not measured: without one of the days the rows have too few classes. Compare days "
            "that have rows of each class."
        )
    return "Not measured: the numbers are too large or, without one of the days, all alike."


def _measure(rows: MatchedRows, predictions: Predictions) -> dict[Metric, float | None]:
    """Return every metric of the problem; None for what cannot be measured."""
    known = metrics_of(rows.truth.problem)
    if not rows.truth.is_measurable or metrics.bad_rows(predictions):
        return dict.fromkeys(known)
    are_shares = bool(((predictions >= 0) & (predictions <= 1)).all())
    return {
        metric: _finite(metrics.value(rows.truth, metric, predictions))
        if are_shares or not METRIC_DEFINITIONS[metric].needs_classes
        else None
        for metric in known
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
