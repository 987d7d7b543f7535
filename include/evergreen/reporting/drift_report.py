"""
Report how the newest days differ from the days a model learnt from.

A description, not a decision: days are not independent samples, and Evidently's default threshold
marks most columns of an ordinary day (FACTS, "Evidently"). What to act on is detection's to say.
"""

from __future__ import annotations

import pandas as pd

from evergreen.data.preparation import load_examples, load_training
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.monitoring import DriftReceipt
from evergreen.reporting.evidently_report import keep_report
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import canonical_json, digest_of, find_or_make


def report_drift(store: ObjectStore, spec: ModelSpec, *, examples: ExamplesReceipt) -> DriftReceipt:
    """
    Compare the test days with the training days and keep the report as HTML and JSON.

    Both sides are seeded samples of at most ``drift.sample_rows`` rows; the sizes are part of the
    result. Safe to repeat: one report per examples digest is made and then given again.
    """
    cache_key = digest_of(
        examples.digest,
        canonical_json(spec.drift.model_dump(mode="json")),
        str(spec.seed),
        *sorted(spec.personal_inputs),
    )
    folder = layout.training_reports(spec.model, examples.as_of)

    def make() -> DriftReceipt:
        older, _ = load_training(store, spec, receipt=examples)
        newer = load_examples(store, spec, receipt=examples, segments=("test",))
        reference, current = _sample(older, spec), _sample(newer, spec)
        kept = keep_report(
            store,
            folder=folder,
            reference=reference,
            current=current,
            note=_note(spec, examples, reference=len(reference), current=len(current)),
            name=f"{spec.model} test days as of {examples.as_of:%Y-%m-%d}",
            at=examples.as_of,
        )
        return DriftReceipt(
            model=spec.model,
            as_of=examples.as_of,
            html=kept.html,
            json_report=kept.json_report,
            reference_rows=len(reference),
            current_rows=len(current),
            columns=kept.columns,
        )

    return find_or_make(store, f"{folder}/{cache_key}.json", DriftReceipt, make)[0]


def _sample(frame: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    label = spec.examples.label
    size = min(len(frame), spec.drift.sample_rows)
    shown = [name for name in spec.examples.features if name not in spec.personal_inputs]
    rows = frame[[*shown, label]].sample(n=size, random_state=spec.seed)
    if spec.examples.problem == "binary":
        rows[label] = rows[label].map({True: "yes", False: "no"})
    return rows.sort_index()


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
