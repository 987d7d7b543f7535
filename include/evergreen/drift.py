"""
Report how the newest days differ from the days a model learnt from.

A description, not a decision: days are not independent samples, and Evidently's default threshold
marks most columns of an ordinary day (FACTS, "Evidently"). What to act on is monitor's to say.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd

from evergreen.preparation import load_examples
from evergreen.receipts import DriftReceipt, ExamplesReceipt
from evergreen.spec import ModelSpec
from evergreen.spec.data import Examples
from evergreen.storage import ObjectStore, canonical_json, digest_of, put_json_once, put_once

if TYPE_CHECKING:
    from evidently import Dataset

#: Evidently puts names and values into a script without escaping them, so what could end the
#: script or open a tag is replaced by a look-alike before Evidently sees it (FACTS).
HARMLESS = str.maketrans({"<": "‹", ">": "›", "&": "+", '"': "”", "'": "’", "`": "’", "\\": "⧵"})


def report_drift(store: ObjectStore, spec: ModelSpec, *, examples: ExamplesReceipt) -> DriftReceipt:
    """
    Compare the test days with the training days and keep the report as HTML and JSON.

    Both sides are seeded samples of at most ``drift.sample_rows`` rows; the sizes are part of the
    result. Safe to repeat: one report per examples digest is made and then given again.
    """
    recipe = digest_of(
        examples.digest, canonical_json(spec.drift.model_dump(mode="json")), str(spec.seed)
    )
    folder = f"reports/{spec.model}/{examples.as_of:%Y-%m-%dT%H%M}"
    key = f"{folder}/{recipe}.json"
    if store.head(key) is None:
        reference, current = (
            _sample(load_examples(store, spec, receipt=examples, segments=segments), spec)
            for segments in (("fit", "validation"), ("test",))
        )
        note = _note(spec, examples, reference=len(reference), current=len(current))
        receipt = _report(store, spec, examples, reference, current, folder=folder, note=note)
        put_json_once(store, key, receipt.model_dump(mode="json"))
    return DriftReceipt.model_validate_json(store.get(key))


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return *frame* with names and text values that cannot break out of a page's script."""
    safe = frame.rename(columns=lambda name: str(name).translate(HARMLESS))
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(lambda v: str(v).translate(HARMLESS), na_action="ignore")
    return safe


def _sample(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    columns = [*spec.examples.features, spec.examples.label]
    size = min(len(frame), spec.drift.sample_rows)
    return frame[columns].sample(n=size, random_state=spec.seed).sort_index()


def _report(
    store: ObjectStore,
    spec: ModelSpec,
    examples: ExamplesReceipt,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    *,
    folder: str,
    note: str,
) -> DriftReceipt:
    from evidently import Report  # seconds to import, and only this stage needs it
    from evidently.presets import DataDriftPreset

    # Distances at every size: by default Evidently changes to p-values below 1,000 rows.
    preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon")
    empty = [c for c in reference if reference[c].isna().all() or current[c].isna().all()]
    kept_reference, kept_current = (f.drop(columns=empty) for f in (reference, current))
    with warnings.catch_warnings():
        # Evidently divides by a standard deviation that is zero for a constant column.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="evidently|numpy|scipy")
        snapshot = Report([preset]).run(
            _dataset(kept_current, spec.examples), _dataset(kept_reference, spec.examples)
        )
    columns = _columns(snapshot.dict()["metrics"], reference, current, empty)
    page = snapshot.get_html_str(as_iframe=False).replace("<body>", f"<body>{note}", 1)
    html = put_once(store, folder, page.encode(), suffix=".html")
    full = put_once(store, folder, _finite_json(snapshot.json()), suffix=".evidently.json")
    return DriftReceipt(
        model=spec.model,
        as_of=examples.as_of,
        html=html,
        json_report=full,
        reference_rows=len(reference),
        current_rows=len(current),
        columns=columns,
    )


def _note(spec: ModelSpec, examples: ExamplesReceipt, *, reference: int, current: int) -> str:
    """Return what the reader of the page must know before its first number."""
    total = examples.labelled
    return (
        '<p style="font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto">'
        f"<strong>{spec.model} as of {examples.as_of:%Y-%m-%d %H:%M} UTC.</strong> Current: "
        f"{current} of the {total['test']} labelled rows of the test days. Reference: {reference} "
        f"of the {total['fit'] + total['validation']} rows of the training days. "
        "&ldquo;Detected&rdquo; means a distance above Evidently's default of 0.1. "
        "It describes, it does not decide: days are not independent samples, and most columns of "
        "an ordinary day are beyond that line.</p>"
    )


def _dataset(frame: pd.DataFrame, spec: Examples) -> Dataset:
    from evidently import DataDefinition, Dataset

    safe = harmless(frame.assign(**{spec.label: frame[spec.label].map({True: "yes", False: "no"})}))
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
) -> dict[str, dict[str, float | str | int | bool]]:
    """Return per column: distance, method, values on both sides, and Evidently's own mark."""
    by_safe_name = {str(name).translate(HARMLESS): str(name) for name in reference.columns}
    found: dict[str, dict[str, float | str | int | bool]] = {
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
    """Return *text* as strict JSON: Evidently writes NaN, which other readers refuse."""
    return canonical_json(json.loads(text, parse_constant=lambda name: None))
