"""Score one day with the version that was champion before the day began."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.data.preparation import load_prepare, prepare_day
from evergreen.data.validation import load_verdicts
from evergreen.data.window import scoring_day
from evergreen.errors import ArtefactError
from evergreen.modeling.artifacts import load_model
from evergreen.modeling.prediction import are_sound, predict
from evergreen.receipts.data import Quarantined, ScoringReceipt, ValidationReceipt
from evergreen.registry import ledger, mlflow_registry
from evergreen.registry.champions import scorer_of
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import canonical_json, put_once, read

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

    from evergreen.modeling.metrics import Predictions


def load_scorer(client: MlflowClient, spec: ModelSpec, reign: ledger.Entry) -> Pipeline:
    """Return the pipeline of the version *reign* put in place, checked against its digest there."""
    version = client.get_model_version(spec.model, reign.version)
    return load_model(
        client,
        mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID),
        sha256=reign.artefact_sha256,
        trusted=spec.trusted_types,
    )


def score_partition(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    *,
    as_of: datetime,
    validation: ValidationReceipt,
) -> ScoringReceipt:
    """
    Write predictions for the newest whole day at *as_of*, replacing exactly that partition.

    Safe to repeat: the same day, version and examples give the same bytes; readers start from
    ``manifest.json``, which is replaced last and in one step.

    :raises NoChampionError: If no version had been promoted before the day began.
    """
    day = scoring_day(as_of)
    reign = scorer_of(ledger.read(store, spec.model), day, as_of=as_of)
    model = load_scorer(client, spec, reign)
    verdicts = load_verdicts(store, validation)
    prepared, _ = prepare_day(
        store, spec, day=day, verdicts=verdicts, prepare=load_prepare(spec.model)
    )
    aside = tuple(
        Quarantined(table=of.table, rows=count, reason=reason, object=of.quarantine)
        for of in verdicts.values()
        if of.day == day
        for reason, count in of.reasons.items()
    )
    rows = from_parquet(read(store, prepared.data))
    said = predict(model, rows, spec=spec.examples)
    if not are_sound(said, spec=spec.examples):
        raise ArtefactError(
            f"Version {reign.version} of {spec.model} gave no usable prediction for some of "
            f"{len(rows)} rows of {day}: not finite, or no probability. Nothing was written. Roll "
            "back, or retrain."
        )
    columns = _columns(said, model)
    predictions = rows[[*spec.examples.entity_key]].assign(
        event_time=rows[spec.examples.event_time],
        **columns,
        model_version=int(reign.version),
        model_as_of=reign.as_of,
        artefact_sha256=reign.artefact_sha256,
    )
    folder = f"predictions/{spec.model}/{day}"
    data = put_once(store, folder, to_parquet(predictions), suffix=".parquet")
    store.put(
        f"{folder}/manifest.json",
        canonical_json(
            {
                "model": spec.model,
                "day": str(day),
                "version": reign.version,
                "model_as_of": reign.as_of.isoformat(),
                "artefact_sha256": reign.artefact_sha256,
                "examples": prepared.data.model_dump(),
                "predictions": data.model_dump(),
                "rows": len(predictions),
                "quarantined": [one.model_dump(mode="json") for one in aside],
            }
        ),
    )
    return ScoringReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        version=reign.version,
        predictions=data,
        rows=len(predictions),
        mean_scores={
            name: float(np.mean(values))
            for name, values in columns.items()
            if name.startswith("score")
        },
        quarantined=aside,
    )


def _columns(said: Predictions, model: Pipeline) -> dict[str, Any]:
    """Return ``score``: a probability or a number; with several classes one each, and the class."""
    if said.ndim == 1:
        return {"score": said}
    names = [str(name) for name in model.classes_]
    likeliest = [names[code] for code in said.argmax(axis=1)]
    scores = {f"score_{name}": said[:, code] for code, name in enumerate(names)}
    return {"predicted_class": likeliest, **scores}
