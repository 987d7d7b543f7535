"""Score one day with the version that was champion before the day began."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evergreen.data.day_validation import day_verdicts, is_open
from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.data.prepared_days import Verdicts, load_prepare, prepare_day
from evergreen.data.validation import load_verdicts
from evergreen.data.window import scoring_day
from evergreen.errors import (
    ArtifactError,
    DataContractError,
    MissingPartitionError,
    NoChampionError,
)
from evergreen.modeling.artifacts import load_version
from evergreen.modeling.prediction import are_sound, predict
from evergreen.receipts.data import (
    PredictionsManifest,
    Quarantined,
    ScoringReceipt,
    ValidationReceipt,
)
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import scorer_of
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.records import put_document, put_once, read_object
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline


log = logging.getLogger(__name__)

#: So many days back a scheduled run looks for days that no run has scored.
MISSED_DAYS = 31


def load_scorer(
    client: MlflowClient, spec: ModelSpec, champion_entry: ledger_store.LedgerEntry
) -> Pipeline:
    """
    Return the pipeline of *champion_entry*, checked against the digest in the ledger.

    :raises ArtifactError: If MLflow no longer has the version, or it cannot be loaded here.
    """
    number = champion_entry.version
    version = mlflow_registry.find_version(client, spec.model, number)
    if version is None:
        raise ArtifactError(
            f"Version {number} of {spec.model} is champion by the ledger and is not in MLflow any "
            f"more. Nothing was scored. Roll back to a version that exists, or let "
            f"{spec.model}__retrain replace it with gates.champion.when_unusable: promote."
        )
    try:
        return load_version(client, spec, version, sha256=champion_entry.artifact_sha256)
    except ArtifactError as error:
        raise ArtifactError(f"Version {number} of {spec.model}: {error}") from error


def score_partition(
    workspace: Workspace,
    *,
    as_of: datetime,
    validation: ValidationReceipt,
    day: date | None = None,
) -> ScoringReceipt:
    """
    Write predictions for *day*, by default the newest whole day at *as_of*.

    Exactly that partition is replaced.

    Safe to repeat: the same day, version and examples give the same bytes; readers start from
    ``manifest.json``, which is replaced last and in one step.

    :raises NoChampionError: If no version had been promoted before the day began.
    """
    verdicts = load_verdicts(workspace.store, validation)
    return _score_day(workspace, day or scoring_day(as_of), as_of=as_of, verdicts=verdicts)


def score_missed_days(
    workspace: Workspace, *, as_of: datetime, before: date
) -> Iterator[ScoringReceipt]:
    """
    Score the days before *before* that no run has scored, newest first, as an outage leaves them.

    Ends at the newest day that has predictions, at one that has not landed or breaks its contract,
    which the log names, at the first champion, and after :data:`MISSED_DAYS` days.
    """
    spec, day = workspace.spec, before
    for _ in range(MISSED_DAYS):
        day -= timedelta(days=1)
        if day in spec.source.closed:
            continue
        if workspace.store.head(layout.predictions_manifest(spec.model, day)) is not None:
            return
        try:
            verdicts = day_verdicts(workspace.store, spec, day)
            if not is_open(spec, day, verdicts):
                continue
            yield _score_day(workspace, day, as_of=as_of, verdicts=verdicts)
        except NoChampionError:
            return
        except (DataContractError, MissingPartitionError) as error:
            log.warning("%s was not scored by its own run, nor by this one: %s", day, error)
            return


def _score_day(
    workspace: Workspace, day: date, *, as_of: datetime, verdicts: Verdicts
) -> ScoringReceipt:
    spec = workspace.spec
    ledger = ledger_store.read_ledger(workspace.store, spec.model)
    champion_entry = scorer_of(ledger, day, as_of=as_of)
    model = load_scorer(workspace.client, spec, champion_entry)
    prepared, _ = prepare_day(
        workspace.store, spec, day=day, verdicts=verdicts, prepare=load_prepare(spec.model)
    )
    rows = from_parquet(read_object(workspace.store, prepared.data))
    columns = _score(model, rows, spec, champion_entry, day=day)
    folder = layout.predictions_folder(spec.model, day)
    table = to_parquet(_predictions(rows, columns, spec, champion_entry))
    manifest = PredictionsManifest(
        model=spec.model,
        day=day,
        version=champion_entry.version,
        model_as_of=champion_entry.as_of,
        artifact_sha256=champion_entry.artifact_sha256,
        examples=prepared.data,
        predictions=put_once(workspace.store, folder, table, suffix=".parquet"),
        rows=len(rows),
        quarantined=tuple(_quarantined(verdicts, day)),
    )
    put_document(workspace.store, layout.predictions_manifest(spec.model, day), manifest)
    return ScoringReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        version=champion_entry.version,
        predictions=manifest.predictions,
        rows=len(rows),
        mean_scores={
            name: float(np.mean(values))
            for name, values in columns.items()
            if name.startswith("score")
        },
        quarantined=manifest.quarantined,
    )


def _score(
    model: Pipeline,
    rows: pd.DataFrame,
    spec: ModelSpec,
    champion_entry: ledger_store.LedgerEntry,
    *,
    day: date,
) -> dict[str, Any]:
    """
    Return ``score``: a probability or a number; with several classes one each, and the class.

    :raises ArtifactError: If the model has no usable prediction for a row.
    """
    predicted = predict(model, rows, spec=spec.examples)
    if not are_sound(predicted, spec=spec.examples):
        raise ArtifactError(
            f"Version {champion_entry.version} of {spec.model} gave no usable prediction "
            f"for some of {len(rows)} rows of {day}: not finite, or no probability. Nothing was "
            "written. Roll back, or retrain."
        )
    if predicted.ndim == 1:
        return {"score": predicted}
    names = [str(name) for name in model.classes_]
    likeliest = [names[code] for code in predicted.argmax(axis=1)]
    scores = {f"score_{name}": predicted[:, code] for code, name in enumerate(names)}
    return {"predicted_class": likeliest, **scores}


def _predictions(
    rows: pd.DataFrame,
    columns: Mapping[str, Any],
    spec: ModelSpec,
    champion_entry: ledger_store.LedgerEntry,
) -> pd.DataFrame:
    """Return what readers get: the keys of *rows*, their scores, and what gave them."""
    return rows[[*spec.examples.entity_key]].assign(
        event_time=rows[spec.examples.event_time],
        **columns,
        model_version=int(champion_entry.version),
        model_as_of=champion_entry.as_of,
        artifact_sha256=champion_entry.artifact_sha256,
    )


def _quarantined(verdicts: Verdicts, day: date) -> Iterator[Quarantined]:
    for verdict in verdicts.values():
        if verdict.day == day:
            for reason, count in verdict.reasons.items():
                yield Quarantined(
                    table=verdict.table, rows=count, reason=reason, object=verdict.quarantine
                )
