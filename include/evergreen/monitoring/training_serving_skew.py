"""
Hold what callers sent against the examples of the same events: training-serving skew.

A model is fitted on what ``prepare`` makes of raw data; a caller computes the same inputs in its
own code. Where both know an event, both must say the same of it (Breck et al. 2017, "The ML Test
Score", Monitor 3).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from evergreen.data.personal_data import REMOVED
from evergreen.data.window import scoring_day
from evergreen.errors import MonitoringError
from evergreen.receipts.data import PredictionsManifest
from evergreen.receipts.monitoring import Colour, SkewedColumn, SkewReceipt
from evergreen.serving.request_log import KEY, RECEIVED_AT
from evergreen.spec import ModelSpec
from evergreen.spec.monitoring import Service
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document, read_object

if TYPE_CHECKING:
    import pandas as pd

#: Numbers may differ by this much, as a share: callers round.
VALUE_TOLERANCE = 1e-6


def measure_skew(store: ObjectStore, spec: ModelSpec, *, as_of: datetime) -> SkewReceipt:
    """
    Compare the rows that were served for events of the newest whole day with its examples.

    Red: an input differs in more than ``service.max_skew`` of the rows. Unknown: fewer than
    ``service.min_skew_rows`` rows are known to both.

    :raises MonitoringError: If the day has no predictions, whose manifest names its examples.
    """
    day, limits = scoring_day(as_of), spec.service or Service()
    examples = _examples(store, spec, day)
    served = _served(store, spec, day)
    both = None if served is None else _joined(served, examples, spec)
    columns = () if both is None else tuple(_columns(both, spec))
    known, most = 0 if both is None else len(both), limits.max_skew or 0.0
    if known < limits.min_skew_rows:
        colour: Colour = "unknown"
        reasons = [
            f"skew: {known} served rows are known as examples of {day}, {limits.min_skew_rows} "
            f"tell; callers must send {', '.join(spec.examples.entity_key)}, or "
            "service.max_skew be null"
        ]
    else:
        skewed = [c for c in columns if c.share > most]
        colour = "red" if skewed else "green"
        reasons = [
            f"skew: {c.name} differs in {c.share:.1%} of {c.rows} rows, such as {c.served} served "
            f"and {c.prepared} prepared; {most:.1%} may"
            for c in skewed
        ]
    found = SkewReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        colour=colour,
        reasons=tuple(reasons),
        served=0 if served is None else len(served),
        compared=known,
        columns=columns,
    )
    if colour != "unknown":
        put_document(store, layout.skew_record(spec.model, day), found)
    return found


def _examples(store: ObjectStore, spec: ModelSpec, day: date) -> pd.DataFrame:
    from evergreen.data.parquet import from_parquet

    try:
        key = layout.predictions_manifest(spec.model, day)
        manifest = load_document(store, key, PredictionsManifest)
    except FileNotFoundError:
        raise MonitoringError(
            f"{spec.model} has no predictions of {day}, so it is not known which examples to hold "
            f"the served rows against. Run {spec.model}__score for the day, then clear this task."
        ) from None
    return from_parquet(read_object(store, manifest.examples))


def _served(store: ObjectStore, spec: ModelSpec, day: date) -> pd.DataFrame | None:
    """Return the rows served for events of *day*, in the order of arrival."""
    import pandas as pd

    from evergreen.data.parquet import from_parquet

    folder = layout.served_folder(spec.model, day)
    found = [from_parquet(store.get(key)) for key in store.list(f"{folder}/")]
    if not found:
        return None
    return pd.concat(found, ignore_index=True).sort_values(RECEIVED_AT, kind="stable")


def _joined(served: pd.DataFrame, examples: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return rows known to both, inputs of the served ones with the suffix ``_served``."""
    import pandas as pd

    names = list(spec.examples.entity_key)
    typed = {}
    for name in names:
        kind, text = examples[name].dtype, served[f"{KEY}{name}"]
        if pd.api.types.is_datetime64_any_dtype(kind):
            typed[name] = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601").astype(
                kind
            )
        elif pd.api.types.is_numeric_dtype(kind):
            typed[name] = pd.to_numeric(text, errors="coerce")
        else:
            typed[name] = text
    inputs = [name for name in spec.examples.features if name in served]
    sent = served[inputs].add_suffix("_served").assign(**typed)
    last = sent.drop_duplicates(names, keep="last")  # a caller may ask again, with newer weather
    return last.merge(examples, on=names, how="inner")


def _columns(both: pd.DataFrame, spec: ModelSpec) -> list[SkewedColumn]:
    import numpy as np

    found = []
    for name in spec.examples.features:
        if f"{name}_served" not in both:
            continue
        served, prepared = both[f"{name}_served"], both[name]
        if name in spec.examples.numeric:
            differs = ~np.isclose(
                served.astype(float), prepared.astype(float), rtol=VALUE_TOLERANCE, equal_nan=True
            )
        else:
            differs = (served.fillna("") != prepared.fillna("")).to_numpy()
        first = int(differs.argmax()) if len(differs) and differs.any() else None
        is_personal = name in spec.personal_inputs
        found.append(
            SkewedColumn(
                name=name,
                rows=len(both),
                share=float(differs.mean()) if len(differs) else 0.0,
                served=_shown(served, first, is_personal=is_personal),
                prepared=_shown(prepared, first, is_personal=is_personal),
            )
        )
    return sorted(found, key=lambda column: -column.share)


def _shown(values: pd.Series, row: int | None, *, is_personal: bool) -> str:
    """Return the value of *row* as the page shows it."""
    if row is None:
        return ""
    return REMOVED if is_personal else str(values.iloc[row])
