"""
What one day's rows of a column look like, in a few numbers, so that many days can be compared.

Kept once per day: whatever is compared over weeks reads these and never the rows again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from evergreen.monitoring.drift_columns import (
    as_texts,
    comparable,
    is_measurable,
    is_text,
    tolerance_of,
)
from evergreen.values import Frozen

#: Numbers of more distinct values are kept as so many quantiles, each for an equal share of rows.
QUANTILES = 32
#: Texts are kept by their so many most frequent values.
FREQUENT = 64


class ColumnSummary(Frozen):
    """
    The values of one column on one day, each with its share of the rows that have one.

    ``rows`` have a value. ``missing``: share of rows without a value that can be measured. The
    shares of texts may sum to less than 1: the rest is rarer.
    """

    rows: int
    missing: float
    numbers: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no row has a value."""
        return not self.shares

    @property
    def is_whole(self) -> bool:
        """Whether every value of a text column is here."""
        return self.is_empty or sum(self.shares) > 1 - 1e-9

    @property
    def only_value(self) -> float | str | None:
        """The one value that all rows have, None if they differ or have none."""
        if self.texts:
            return self.texts[0] if len(self.texts) == 1 else None
        if not self.numbers:
            return None
        values = np.array(self.numbers)
        return self.numbers[0] if np.ptp(values) <= tolerance_of(values) else None


Summaries = Mapping[str, ColumnSummary]


def summarise(rows: pd.DataFrame) -> dict[str, ColumnSummary]:
    """Return the summary of each column of *rows*."""
    values = comparable(rows)
    return {str(name): _summary(values[name]) for name in values.columns}


def kind_of(days: Sequence[ColumnSummary]) -> type[float] | type[str] | None:
    """Return whether a column had numbers or texts on *days*; None if it had both, or nothing."""
    kinds = {str if of.texts else float for of in days if not of.is_empty}
    return kinds.pop() if len(kinds) == 1 else None


def _summary(values: pd.Series) -> ColumnSummary:
    if is_text(values):
        known = as_texts(values.dropna())
        shares = known.value_counts(normalize=True).iloc[:FREQUENT]
        return ColumnSummary(
            rows=len(known),
            missing=1 - len(known) / max(len(values), 1),
            texts=tuple(shares.index),
            shares=tuple(shares),
        )
    numbers = values.to_numpy()[is_measurable(values)]
    missing = 1 - len(numbers) / max(len(values), 1)
    distinct, counts = np.unique(numbers, return_counts=True)
    shares = counts / max(len(numbers), 1)
    if len(distinct) > QUANTILES:
        distinct = np.quantile(numbers, (np.arange(QUANTILES) + 0.5) / QUANTILES)
        shares = np.full(QUANTILES, 1 / QUANTILES)
    return ColumnSummary(
        rows=len(numbers),
        missing=missing,
        numbers=tuple(distinct),
        shares=tuple(shares),
    )
