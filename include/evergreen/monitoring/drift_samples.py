"""Samples of prepared days, and what is measured of them: each day and each pair once, and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from evergreen.data.available_days import LandedDay
from evergreen.data.parquet import from_parquet
from evergreen.data.personal_data import with_coded_texts
from evergreen.data.window import start_of
from evergreen.monitoring.drift_columns import comparable, is_measurable, is_text
from evergreen.monitoring.drift_distances import PREDICTION, measure_pair
from evergreen.monitoring.drift_judgement import MeasuredDay, compared_days, reach_of
from evergreen.monitoring.drift_summaries import ColumnSummary, summarise
from evergreen.spec import ModelSpec
from evergreen.spec.monitoring import Drift
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, find_or_make, read_object
from evergreen.values import Frozen

log = logging.getLogger(__name__)

#: Raise this when a distance or a summary is measured in another way.
DISTANCES_FORMAT = "3"


class DayDistances(Frozen):
    """
    The distances of one day from its reference, and how many rows stand behind them.

    ``possible``: the largest distances there can be, where something bounds them. ``by_chance``:
    those that independent rows exceed once in a thousand days.
    """

    day: date
    rows: int
    reference_rows: int
    distances: dict[str, float]
    possible: dict[str, float]
    by_chance: dict[str, float]


class DaySummary(Frozen):
    """What the rows of one day look like, by column."""

    day: date
    columns: dict[str, ColumnSummary]


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
        """Return the monitored inputs of a sample of *day* as numbers and texts, shuffled."""
        rows = self._sample(day)[list(watched_columns(self.spec))]
        shown = with_coded_texts(rows, self.spec.personal_inputs)
        return comparable(shown, start=start_of(day))

    def predictions(self, day: date) -> pd.DataFrame:
        """
        Return what the champion says of the same sample, as one column.

        Rows with an input that is infinite or too large have no prediction: a model may refuse
        them all.
        """
        if day not in self._predicted:
            rows = self._sample(day)
            sound = rows[_is_sound(rows[list(self.spec.examples.features)])]
            found = self.predict(sound) if len(sound) else pd.Series(dtype=np.float64)
            self._predicted[day] = comparable(found.reindex(rows.index).to_frame(PREDICTION))
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


def reference_days(day: date, days: Mapping[date, object], drift: Drift) -> list[date]:
    """
    Return the days *day* is held against, newest first: those of the same weekday, or all.

    Empty if fewer than half of them have landed.
    """
    back = 7 * drift.reference_weeks
    steps = range(7, back + 1, 7) if drift.same_weekday else range(1, back + 1)
    found = [day - timedelta(days=n) for n in steps if day - timedelta(days=n) in days]
    return found if 2 * len(found) >= len(steps) else []


def measure_days(samples: Samples, until: date) -> dict[date, MeasuredDay]:
    """
    Return what is measured of each day within reach of *until*, oldest first.

    Only days and pairs that were never measured are read; a repaired day, and another champion for
    what it says, are measured again.
    """
    drift, found = samples.spec.drift, dict[date, MeasuredDay]()
    compared = compared_days(until, drift)
    made = 0
    for day in reach_of(until, drift):
        if day not in samples.days:
            continue
        against = reference_days(day, samples.days, drift) if day in compared else []
        what = ("inputs", samples.predictor_digest)
        parts = [_measured(samples, day, against, what=one) for one in what]
        rows = samples.days[day].prepared.rows
        found[day] = MeasuredDay.together([part for part, _ in parts], rows)
        made += parts[0][1]
        if parts[0][1] and made % 20 == 0:
            log.info("measured %d new days, now at %s", made, day)
    return found


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


def pair_of(
    take: Callable[[date], pd.DataFrame], day: date, against: Sequence[date], drift: Drift
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the reference and of *day*."""
    share = drift.sample_rows // len(against)
    return pd.concat([take(d).iloc[:share] for d in against]), take(day)


def _measured(
    samples: Samples, day: date, against: Sequence[date], *, what: str
) -> tuple[MeasuredDay, bool]:
    """Return one part of what is measured of *day*, and whether it was measured now."""
    spec = samples.spec
    take = samples.inputs if what == "inputs" else samples.predictions
    columns = watched_columns(spec) if what == "inputs" else (PREDICTION,)

    def key(of: str, days: Sequence[date]) -> str:
        used = [samples.days[d].prepared.data.sha256 for d in days]
        how = (str(spec.drift.sample_rows), str(spec.seed), *sorted(spec.personal_inputs))
        cache_key = digest_of(DISTANCES_FORMAT, of, what, *columns, *used, *how)
        return layout.drift_distances(spec.model, day, cache_key)

    def summary() -> DaySummary:
        return DaySummary(day=day, columns=summarise(take(day)))

    def distances() -> DayDistances:
        reference, current = pair_of(take, day, against, spec.drift)
        found, possible, by_chance = measure_pair(reference, current)
        return DayDistances(
            day=day,
            rows=len(current),
            reference_rows=len(reference),
            distances=found,
            possible=possible,
            by_chance=by_chance,
        )

    own, is_new = find_or_make(samples.store, key("summary", [day]), DaySummary, summary)
    if not against:
        return MeasuredDay(rows=0, columns=own.columns), is_new
    key_of_pair = key("distances", [day, *against])
    pair, is_new_pair = find_or_make(samples.store, key_of_pair, DayDistances, distances)
    return MeasuredDay(
        rows=0,
        columns=own.columns,
        distances=pair.distances,
        possible=pair.possible,
        by_chance=pair.by_chance,
    ), is_new or is_new_pair


def _is_sound(rows: pd.DataFrame) -> pd.Series:
    """Return which rows have no number that is infinite or too large."""
    values = comparable(rows)
    broken = pd.Series(False, index=rows.index)
    for name in values.columns:
        if not is_text(values[name]):
            broken |= values[name].notna() & ~is_measurable(values[name])
    return ~broken
