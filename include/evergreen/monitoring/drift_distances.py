"""
How far a day lies from the days it is held against, column by column, each pair measured once.

How values are placed (Wasserstein in the column's own units, Jensen-Shannon for categories), how
wide numbers are spread, what share is missing, and what share the reference does not know.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon

from evergreen.data.available_days import LandedDay
from evergreen.data.parquet import from_parquet
from evergreen.spec import ModelSpec
from evergreen.spec.monitoring import Drift
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, find_or_make, read_object
from evergreen.values import Frozen

log = logging.getLogger(__name__)

#: The column of what the champion says, beside the columns of what it is asked.
PREDICTION = "prediction (champion)"
MISSING = ": missing"
UNSEEN = ": unseen categories"
SPREAD = ": spread"
#: Raise this when a distance is measured in another way.
DISTANCES_FORMAT = "2"
#: The largest Jensen-Shannon distance there can be: scipy's is the root of a divergence in nats.
MAX_JENSEN_SHANNON = math.sqrt(math.log(2))


class DayDistances(Frozen):
    """
    The distances of one day from its reference, and how many rows stand behind them.

    ``possible``: the largest distances there can be, where something bounds them.
    """

    day: date
    rows: int
    reference_rows: int
    distances: dict[str, float]
    possible: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Seeded samples of prepared days, read at first use and kept in memory."""

    store: ObjectStore
    spec: ModelSpec
    days: Mapping[date, LandedDay]
    #: What the champion says of rows, and which champion it is.
    predict: Callable[[pd.DataFrame], pd.Series]
    predictor_digest: str
    _rows: dict[date, pd.DataFrame] = field(default_factory=dict)
    _predicted: dict[date, pd.DataFrame] = field(default_factory=dict)

    def inputs(self, day: date) -> pd.DataFrame:
        """Return the monitored inputs of a sample of *day*, in random order."""
        return self._sample(day)[list(watched_columns(self.spec))]

    def predictions(self, day: date) -> pd.DataFrame:
        """Return what the champion says of the same sample, as one column."""
        if day not in self._predicted:
            self._predicted[day] = self.predict(self._sample(day)).to_frame(PREDICTION)
        return self._predicted[day]

    def _sample(self, day: date) -> pd.DataFrame:
        if day not in self._rows:
            rows = from_parquet(read_object(self.store, self.days[day].prepared.data))
            size = min(len(rows), self.spec.drift.sample_rows)
            self._rows[day] = rows.sample(n=size, random_state=self.spec.seed)
        return self._rows[day]


def watched_columns(spec: ModelSpec) -> tuple[str, ...]:
    """Return the inputs whose drift is monitored."""
    return spec.drift.columns or spec.examples.features


def reference_days(day: date, days: Mapping[date, LandedDay], drift: Drift) -> list[date]:
    """
    Return the days *day* is held against, newest first: those of the same weekday, or all.

    Empty if fewer than half of them have landed.
    """
    back = 7 * drift.reference_weeks
    steps = range(7, back + 1, 7) if drift.same_weekday else range(1, back + 1)
    found = [day - timedelta(days=n) for n in steps if day - timedelta(days=n) in days]
    return found if 2 * len(found) >= len(steps) else []


def distance_table(samples: Samples, days: Sequence[date]) -> tuple[pd.DataFrame, dict[str, float]]:
    """
    Return the distances of each of *days* that has a reference, shape ``(days, distances)``.

    With them come the largest distances that any of these days could have had, where bounded.

    Only pairs that were never measured are read; a repaired day, and another champion for what it
    says, are measured again.
    """
    found: dict[date, dict[str, float]] = {}
    possible: dict[str, float] = {}
    made = 0
    for day in days:
        against = reference_days(day, samples.days, samples.spec.drift)
        if day not in samples.days or not against:
            continue
        inputs, is_new = _measured(samples, day, against, what="inputs")
        of_predictions, _ = _measured(samples, day, against, what=samples.predictor_digest)
        found[day] = inputs.distances | of_predictions.distances
        for name, most in (inputs.possible | of_predictions.possible).items():
            possible[name] = max(most, possible.get(name, most))
        made += is_new
        if is_new and made % 20 == 0:
            log.info("measured %d new days, now at %s", made, day)
    return pd.DataFrame.from_dict(found, orient="index"), possible


def sample_of(
    samples: Samples, day: date, against: Sequence[date]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the reference and the current rows with what the champion says of them."""
    share = samples.spec.drift.sample_rows // len(against)
    both = [
        pd.concat([samples.inputs(d), samples.predictions(d)], axis=1).iloc[:size]
        for d, size in [(day, samples.spec.drift.sample_rows), *((d, share) for d in against)]
    ]
    return pd.concat(both[1:], ignore_index=True), both[0].reset_index(drop=True)


def _measured(
    samples: Samples, day: date, against: Sequence[date], *, what: str
) -> tuple[DayDistances, bool]:
    spec = samples.spec
    used = [samples.days[d].prepared.data.sha256 for d in (day, *against)]
    columns = watched_columns(spec) if what == "inputs" else (PREDICTION,)
    cache_key = digest_of(
        DISTANCES_FORMAT, what, *columns, *used, str(spec.drift.sample_rows), str(spec.seed)
    )

    def measure() -> DayDistances:
        take = samples.inputs if what == "inputs" else samples.predictions
        share = spec.drift.sample_rows // len(against)
        current, reference = take(day), pd.concat([take(d).iloc[:share] for d in against])
        return DayDistances(
            day=day,
            rows=len(current),
            reference_rows=len(reference),
            distances=measure_distances(reference, current),
            possible=possible_distances(reference, current),
        )

    key = layout.drift_distances(spec.model, day, cache_key)
    return find_or_make(samples.store, key, DayDistances, measure)


def possible_distances(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """
    Return the largest distance that each column of the two samples can have, where it is bounded.

    Shares are at most 1. Numbers lie at most as far apart as the smallest and the largest value of
    both samples, for as long as no other value occurs. Of the spread nothing bounds the distance.
    """
    found: dict[str, float] = {}
    for name in reference.columns:
        found[f"{name}{MISSING}"] = 1.0
        both = pd.concat([reference[name], current[name]]).dropna()
        if both.empty:
            continue
        if pd.api.types.is_numeric_dtype(reference[name].dropna()):
            if (span := float(both.max()) - float(both.min())) > 0 and math.isfinite(span):
                found[name] = span
        else:
            found[name] = MAX_JENSEN_SHANNON
            found[f"{name}{UNSEEN}"] = 1.0
    return found


def measure_distances(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, float]:
    """
    Return every distance between two samples of the same columns.

    Wasserstein in the column's units; Jensen-Shannon, missing and unseen from 0 to 1; of the spread
    the logarithm of how many times wider or narrower. What has no value on one side has no
    distance; its missing share tells.
    """
    found: dict[str, float] = {}
    for name in reference.columns:
        then, now = reference[name].dropna(), current[name].dropna()
        found[f"{name}{MISSING}"] = abs(len(now) / len(current) - len(then) / len(reference))
        if then.empty or now.empty:
            continue
        if pd.api.types.is_numeric_dtype(then):
            found[name] = float(stats.wasserstein_distance(then, now))
            widths = [float(np.std(side)) for side in (then, now)]
            if min(widths) > 0:
                found[f"{name}{SPREAD}"] = abs(math.log(widths[1] / widths[0]))
        else:
            shares = [side.value_counts(normalize=True) for side in (then, now)]
            both = pd.concat(shares, axis=1).fillna(0.0)
            found[name] = float(jensenshannon(both.iloc[:, 0], both.iloc[:, 1]))
            found[f"{name}{UNSEEN}"] = float((~now.isin(then.unique())).mean())
    return found
