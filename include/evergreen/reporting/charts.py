"""Charts of an evidence page, as points of SVG lines."""

from __future__ import annotations

from collections.abc import Iterable

from evergreen.receipts.modeling import Bin, EvaluationDetails
from evergreen.spec import ModelSpec
from evergreen.values import Frozen

#: Width and height of a chart's drawing area, in the units of its view box.
SIDE = 100.0


class Line(Frozen):
    """One line of a chart: whose it is, and its points as SVG takes them."""

    name: str
    points: str


class Chart(Frozen):
    """A square chart; both axes run from ``low`` to ``high`` in the units of ``axes``."""

    title: str
    axes: tuple[str, str]
    low: str
    high: str
    lines: tuple[Line, ...]


def charts_of(spec: ModelSpec, details: EvaluationDetails) -> Iterable[Chart]:
    """Yield the charts of an evaluation: calibration, and the curves of its problem."""
    is_number = spec.examples.problem == "regression"
    bins = {name: c.calibration for name, c in details.curves.items() if c.calibration}
    if not bins:
        return
    every = [b for curve in bins.values() for b in curve]
    low, high = (
        (
            min(min(b.predicted, b.actual) for b in every),
            max(max(b.predicted, b.actual) for b in every),
        )
        if is_number
        else (0.0, 1.0)
    )
    yield Chart(
        title="Calibration",
        axes=("predicted", "observed rate" if not is_number else "observed"),
        low=f"{low:g}" if not is_number else f"{low:.3g}",
        high=f"{high:g}" if not is_number else f"{high:.3g}",
        lines=tuple(
            Line(name=name, points=_points(_pairs(curve), low=low, high=high))
            for name, curve in bins.items()
        ),
    )
    lifts = {name: curves.lift for name, curves in details.curves.items() if curves.lift}
    if lifts:
        yield Chart(
            title="Lift",
            axes=("share of rows, highest first", "share of all positives"),
            low="0",
            high="1",
            lines=tuple(
                Line(name=name, points=_points(curve, low=0.0, high=1.0))
                for name, curve in lifts.items()
            ),
        )


def _pairs(curve: Iterable[Bin]) -> list[tuple[float, float]]:
    return [(one.predicted, one.actual) for one in curve]


def _points(pairs: Iterable[tuple[float, float]], *, low: float, high: float) -> str:
    scale = SIDE / (high - low) if high > low else 0.0
    return " ".join(f"{(x - low) * scale:.1f},{SIDE - (y - low) * scale:.1f}" for x, y in pairs)
