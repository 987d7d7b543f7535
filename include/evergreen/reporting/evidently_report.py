"""Make Evidently's report of two samples, and keep it as a page, as numbers and as a snapshot."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evergreen.receipts.monitoring import DriftColumns, KeptReport
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import put_once

if TYPE_CHECKING:
    from evidently import Dataset

#: Evidently puts names and values into a script without escaping them, so what could end the
#: script or open a tag is replaced by a look-alike before Evidently sees it (FACTS).
HARMLESS = str.maketrans({"<": "‹", ">": "›", "&": "+", '"': "”", "'": "’", "`": "’", "\\": "⧵"})
#: Evidently divides a Wasserstein distance by the reference's standard deviation, or by this.
LEAST_SCALE = 0.001


def keep_report(
    store: ObjectStore,
    *,
    folder: str,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    note: str,
    name: str,
    at: datetime,
    limits: Mapping[str, float] | None = None,
) -> KeptReport:
    """
    Compare *current* with *reference*, column by column, and keep the report in *folder*.

    Numeric columns by Wasserstein distance, the others by Jensen-Shannon distance, at every size.

    :param note: HTML above the report: what its reader must know before the first number.
    :param name: The run's name in Evidently's own dashboard, where *at* is its place in time.
    :param limits: Distances beyond which a column counts as drifted, a numeric one's in its own
        units; Evidently's default where there is none.
    """
    from evidently import Report  # seconds to import, and only two stages need it
    from evidently.presets import DataDriftPreset

    empty = [c for c in reference if reference[c].isna().all() or current[c].isna().all()]
    kept_reference, kept_current = (f.drop(columns=empty) for f in (reference, current))
    preset = DataDriftPreset(
        num_method="wasserstein",
        cat_method="jensenshannon",
        per_column_threshold=_in_evidently_units(limits or {}, kept_reference),
    )
    with warnings.catch_warnings():
        # Evidently divides by a standard deviation that is zero for a constant column.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="evidently|numpy|scipy")
        snapshot = Report([preset]).run(
            _dataset(kept_current), _dataset(kept_reference), timestamp=at, name=name
        )
    columns = _columns(snapshot.dict()["metrics"], reference, current, empty)
    page = snapshot.get_html_str(as_iframe=False).replace("<body>", f"<body>{note}", 1)
    whole = gzip.compress(_finite_json(snapshot.dumps()), mtime=0)
    return KeptReport(
        html=put_once(store, folder, page.encode(), suffix=".html"),
        json_report=put_once(
            store, folder, _finite_json(snapshot.json()), suffix=".evidently.json"
        ),
        snapshot=put_once(store, folder, whole, suffix=".snapshot.json.gz"),
        columns=columns,
    )


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return *frame* with names and text values that cannot break out of a page's script."""
    safe = frame.rename(columns=lambda name: str(name).translate(HARMLESS))
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(lambda v: str(v).translate(HARMLESS), na_action="ignore")
    return safe


def _in_evidently_units(limits: Mapping[str, float], reference: pd.DataFrame) -> dict[str, float]:
    """Return *limits* as Evidently takes them: of numeric columns in standard deviations."""
    found = {}
    for name in reference.columns.intersection(list(limits)):
        scale = 1.0
        if pd.api.types.is_numeric_dtype(reference[name]):
            scale = max(float(np.std(reference[name].dropna())), LEAST_SCALE)
        found[str(name).translate(HARMLESS)] = limits[name] / scale
    return found


def _dataset(frame: pd.DataFrame) -> Dataset:
    from evidently import DataDefinition, Dataset

    safe = harmless(frame)
    numeric = [c for c in safe.columns if pd.api.types.is_numeric_dtype(safe[c])]
    definition = DataDefinition(
        numerical_columns=numeric,
        categorical_columns=[c for c in safe.columns if c not in numeric],
    )
    return Dataset.from_pandas(safe, data_definition=definition)


def _columns(
    metrics: list[dict[str, Any]],
    reference: pd.DataFrame,
    current: pd.DataFrame,
    empty: list[str],
) -> DriftColumns:
    """Return per column: distance, method, values on both sides, and Evidently's own mark."""
    by_safe_name = {str(name).translate(HARMLESS): str(name) for name in reference.columns}
    found: DriftColumns = {
        name: {"note": "no values on one side, nothing to compare"} for name in empty
    }
    for metric in metrics:
        config = metric["config"]
        if not config["type"].endswith(":ValueDrift"):
            continue
        name = by_safe_name[config["column"]]
        distance = float(metric["value"])
        found[name] = {
            "distance": round(distance, 6),
            "method": config["method"],
            "reference_values": int(reference[name].notna().sum()),
            "current_values": int(current[name].notna().sum()),
            "beyond_default_threshold": distance > config["threshold"],
        }
    return dict(sorted(found.items()))


def _finite_json(text: str) -> bytes:
    """
    Return *text* as strict JSON: Evidently writes NaN, which other readers refuse.

    On one line: Python writes JSON in C only without indentation, and these are megabytes.
    """
    content = json.loads(text, parse_constant=lambda name: None)
    return json.dumps(content, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()
