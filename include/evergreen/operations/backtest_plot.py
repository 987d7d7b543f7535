"""Draw what a backtest measured: one line for each strategy, day by day."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from evergreen.spec import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: A single day is noisy; the plot shows the mean of this many days.
SMOOTH_DAYS = 7
#: How the line of each strategy is drawn, and what its label begins with.
LINES: dict[str, dict[str, Any]] = {
    "evolving": {"color": "#1b7f4b", "linewidth": 2.4, "label": "champion behind the gates"},
    "frozen": {"color": "#b3261e", "linewidth": 2.0, "label": "frozen on day one"},
    "ungated": {
        "color": "#8a8f98",
        "linewidth": 1.2,
        "label": "newest version, no gates",
        "linestyle": "--",
    },
}


def plot_backtest(
    spec: ModelSpec, table: pd.DataFrame, promoted: Sequence[date], pooled: Mapping[str, float]
) -> bytes:
    """
    Return a PNG of the metric of each strategy over the days.

    :param table: ``day`` and one column for each strategy, a row per day.
    :param promoted: The days of the promotions, drawn as vertical lines.
    :param pooled: The metric of each strategy over the rows of all days together.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure  # no pyplot: it keeps figures in a global

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes: Axes = figure.subplots()
    days = pd.to_datetime(table["day"])
    for name, look in LINES.items():
        smooth = table[name].rolling(SMOOTH_DAYS, min_periods=1).mean()
        label = f"{look['label']} ({pooled[name]:.3f} over all rows)"
        axes.plot(days, smooth, **look | {"label": label})
    for day in promoted:
        axes.axvline(pd.Timestamp(day), color="#1b7f4b", alpha=0.25, linewidth=1)
    axes.set_ylabel(f"{spec.metric}, mean of {SMOOTH_DAYS} days")
    axes.set_title(
        f"{spec.model}: {len(table)} days replayed, {len(promoted)} promotions (vertical lines)",
        loc="left",
    )
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.legend(loc="best", frameon=False)
    axes.grid(alpha=0.2)
    page = io.BytesIO()
    figure.savefig(page, format="png", dpi=110, metadata={"Software": None})
    return page.getvalue()
