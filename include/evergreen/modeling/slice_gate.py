"""
No group of rows may fall behind the champion while the whole gets better.

Many slices are looked at, so each is tested at a level that is corrected for their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evergreen.modeling import metrics
from evergreen.modeling.gate_inputs import GateInputs, ModelScores, days_of_rows
from evergreen.modeling.metrics import Labels
from evergreen.modeling.paired_gain import paired_gain
from evergreen.receipts.common import Check, Status
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric

#: With fewer rows than this of one class, a slice has no metric that can be trusted.
MIN_CLASS_ROWS = 10


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """What was measured on one slice; ``p_no_worse`` is NaN if nothing could be."""

    name: str
    rows: int
    note: str = ""
    ours: float = math.nan
    theirs: float = math.nan
    p_no_worse: float = math.nan


def slice_checks(spec: ModelSpec, contest: GateInputs) -> Iterator[Check]:
    """
    Yield one check per value of each slice column, or one that says why there is none.

    A slice fails if it is shown to be worse than the champion, and worse by more than
    ``gates.slices.max_drop``. Shown means: the p-value of "no worse", by days as clusters, is below
    its level after the correction of Holm ("A Simple Sequentially Rejective Multiple Test
    Procedure", Scandinavian Journal of Statistics 6(2), 1979). A larger drop that is not shown is
    unknown.
    """
    columns, champion = spec.gates.slices.columns, contest.champion
    if not columns or champion is None or champion.bad_rows or contest.challenger.bad_rows:
        lacking = "no gates.slices.columns set" if not columns else "two models with predictions"
        if columns and champion is None:
            lacking = "a champion to compare with"
        yield Check(name="slices", status="unknown", measured="none compared", required=lacking)
        return
    days = days_of_rows(spec, contest.test)
    found = []
    for column in columns:
        groups = contest.test.groupby(column, dropna=False, observed=True).indices
        for value, rows in sorted(groups.items(), key=str):
            name = f"slice {column}={value}"
            found.append(_measure(spec, contest, champion, name=name, rows=rows, days=days[rows]))
    shown = holm([one.p_no_worse for one in found], level=1 - spec.gates.slices.confidence)
    for one, is_worse in zip(found, shown, strict=True):
        yield _check(spec, one, is_worse=is_worse)


def holm(p_values: Sequence[float], *, level: float) -> list[bool]:
    """
    Return which hypotheses are rejected, with a chance of *level* of rejecting any true one.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6(2), 1979. NaN is never rejected, and not counted.
    """
    order = sorted((p, n) for n, p in enumerate(p_values) if math.isfinite(p))
    rejected = [False] * len(p_values)
    for rank, (p, number) in enumerate(order):
        if p > level / (len(order) - rank):
            break
        rejected[number] = True
    return rejected


def _measure(
    spec: ModelSpec,
    contest: GateInputs,
    champion: ModelScores,
    *,
    name: str,
    rows: NDArray[np.int64],
    days: NDArray[np.int64],
) -> _Slice:
    truth = contest.truth.take(rows)
    if note := _too_small(truth, min_rows=spec.gates.slices.min_rows):
        return _Slice(name=name, rows=len(rows), note=note)
    ours, theirs = contest.challenger.predictions[rows], champion.predictions[rows]
    paired = paired_gain(truth, ours, theirs, metric=spec.metric, clusters=days)
    return _Slice(
        name=name,
        rows=len(rows),
        note="" if math.isfinite(paired.p_no_worse) else ", on too few days",
        ours=metrics.value(truth, spec.metric, ours),
        theirs=metrics.value(truth, spec.metric, theirs),
        p_no_worse=paired.p_no_worse,
    )


def _too_small(truth: Labels, *, min_rows: int) -> str:
    """Return why the rows of a slice are too few to tell; empty if they are not."""
    if not truth.is_measurable:
        return ", all alike"
    if len(truth) < min_rows:
        return " "
    rarest = len(truth) if truth.problem == "regression" else _rarest(truth)
    return f", {rarest} of one class" if rarest < MIN_CLASS_ROWS else ""


def _rarest(truth: Labels) -> int:
    """Return the rows of the rarer of two classes, or of all but the commonest of several."""
    counts = np.bincount(truth.values.astype(np.int64))
    return int(len(truth) - counts.max() if truth.problem == "multiclass" else counts.min())


def _check(spec: ModelSpec, found: _Slice, *, is_worse: bool) -> Check:
    rule, metric = spec.gates.slices, spec.metric
    if math.isnan(found.p_no_worse):
        return Check(
            name=found.name,
            status="unknown",
            measured=f"{found.rows} rows{found.note.rstrip()}",
            required=f"{rule.min_rows} rows that differ, {MIN_CLASS_ROWS} of each class, to tell",
        )
    drop = -metrics.skill(metric, found.ours, found.theirs)
    return Check(
        name=found.name,
        status=_status(drop, most=rule.max_drop, is_worse=is_worse),
        measured=f"{found.ours:.4f} against {found.theirs:.4f} on {found.rows} rows, "
        f"p {found.p_no_worse:.3f}",
        required=_required(metric, rule.max_drop, rule.confidence),
    )


def _required(metric: Metric, max_drop: float, confidence: float) -> str:
    return f"{metric} drop <= {max_drop:g}, or not shown at {confidence:.1%} over all slices"


def _status(drop: float, *, most: float, is_worse: bool) -> Status:
    if drop <= most:
        return "passed"
    return "failed" if is_worse else "unknown"
