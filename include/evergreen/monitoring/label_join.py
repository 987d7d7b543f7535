"""Join the predictions of a day with the labels that have landed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from evergreen.data import examples
from evergreen.data.available_days import LandedDay, landed_days
from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.data.window import DayRange
from evergreen.modeling.metrics import Labels, Predictions, classes_among
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import PredictionsManifest
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, find_document, find_or_make, put_once, read_object
from evergreen.values import Frozen

#: Raise this when a window is measured in another way.
JOIN_FORMAT = "2"


class JoinedDay(Frozen):
    """One scored day with the labels that were known, and what did not fit together."""

    day: date
    version: str
    rows: int
    labelled: int
    unmatched: int
    data: ObjectRef


@dataclass(frozen=True, kw_only=True)
class LabeledRows:
    """Scored rows with their labels, those that have none yet included."""

    spec: ModelSpec
    frame: pd.DataFrame

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Every class that a label or a score names, sorted; none unless there are several."""
        scored = [c.removeprefix("score_") for c in self.frame if c.startswith("score_")]
        return classes_among(self.spec.examples, self.frame["label"].dropna(), scored)

    @property
    def labelled(self) -> LabeledRows:
        """Those that have a label."""
        return LabeledRows(spec=self.spec, frame=self.frame[self.frame["label"].notna()])

    def truth(self, classes: tuple[str, ...]) -> Labels:
        """Return the labels; every row must have one."""
        named = self.spec.examples.model_copy(update={"label": "label"})
        return Labels.of(self.frame, spec=named, classes=classes)

    def predicted(self, classes: tuple[str, ...]) -> Predictions:
        """Return the scores: shape ``(rows,)``, or ``(rows, classes)``; 0 for an unknown class."""
        if self.spec.examples.problem != "multiclass":
            return np.asarray(self.frame["score"], dtype=np.float64)
        columns = [f"score_{name}" for name in classes]
        return np.asarray(self.frame.reindex(columns=columns).fillna(0.0), dtype=np.float64)


def joined_days(
    store: ObjectStore, spec: ModelSpec, *, as_of: datetime, day: date
) -> dict[date, JoinedDay]:
    """Return every scored day that a window within reach, or its calibration, looks at."""
    back = 2 * spec.quality.lookback_days + spec.quality.window_days - 1
    reach = DayRange(first=day - timedelta(days=back), end=day + timedelta(days=1))
    keys = {d: layout.predictions_manifest(spec.model, d) for d in reach}
    manifests = {d: find_document(store, key, PredictionsManifest) for d, key in keys.items()}
    scored = {d: manifest for d, manifest in manifests.items() if manifest is not None}
    if not scored:
        return {}
    landed = landed_days(store, spec, days=DayRange(first=min(scored), end=reach.end))
    return {
        d: _joined(store, spec, landed[d], manifest, as_of=as_of)
        for d, manifest in sorted(scored.items())
        if d in landed
    }


def _joined(
    store: ObjectStore,
    spec: ModelSpec,
    landed: LandedDay,
    manifest: PredictionsManifest,
    *,
    as_of: datetime,
) -> JoinedDay:
    prepared = landed.prepared
    predicted = manifest.predictions
    newest = prepared.labelled.newest_known_at
    frame = None
    labels = prepared.labelled.digest
    if newest is not None and newest > as_of:  # some of them arrived later
        frame = from_parquet(read_object(store, prepared.data))
        known = examples.known(frame, spec=spec.examples, as_of=as_of)
        labels = examples.labelled(known, spec=spec.examples).digest
    slices = spec.gates.slices.columns
    cache_key = digest_of(JOIN_FORMAT, predicted.sha256, prepared.data.sha256, labels, *slices)
    folder = layout.joined_day_folder(spec.model, prepared.day)

    def join() -> JoinedDay:
        day = from_parquet(read_object(store, prepared.data)) if frame is None else frame
        known = examples.known(day, spec=spec.examples, as_of=as_of)
        entity = list(spec.examples.entity_key)
        actual = known[entity].assign(label=known[spec.examples.label])
        sliced = day[entity].assign(**{f"slice_{name}": day[name] for name in slices})
        predictions = from_parquet(read_object(store, predicted))
        rows = predictions.merge(actual, on=entity, how="left").merge(sliced, on=entity, how="left")
        wanted = [c for c in rows if c == "label" or c.startswith(("score", "slice_"))]
        labelled = int(rows["label"].notna().sum())
        return JoinedDay(
            day=prepared.day,
            version=manifest.version,
            rows=len(rows),
            labelled=labelled,
            unmatched=len(actual) - labelled,
            data=put_once(store, folder, to_parquet(rows[wanted]), suffix=".parquet"),
        )

    return find_or_make(store, f"{folder}/{cache_key}.json", JoinedDay, join)[0]


def rows_of(
    store: ObjectStore, spec: ModelSpec, days: Mapping[date, JoinedDay], span: DayRange
) -> LabeledRows:
    """Return the joined rows of the days in *span*."""
    stored = [read_object(store, days[d].data) for d in span if d in days]
    found = from_parquet(*stored) if stored else pd.DataFrame({"label": [], "score": []})
    return LabeledRows(spec=spec, frame=found)
