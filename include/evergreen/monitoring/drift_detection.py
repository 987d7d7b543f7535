"""
Decide whether the world has moved: one day beside its reference, and the last days together.

Decided from the data alone, never from what an earlier run wrote: a day replayed next year, or
many side by side, come out as they would have on their night.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from evergreen.data.available_days import LandedDay, landed_days
from evergreen.data.window import DayRange, scoring_day
from evergreen.errors import MonitoringError
from evergreen.modeling.prediction import predict
from evergreen.monitoring.drift_alarms import column_weights
from evergreen.monitoring.drift_day_report import report_day
from evergreen.monitoring.drift_judgement import Judge, last_days, reach_of
from evergreen.monitoring.drift_samples import Samples, measure_days, reference_days
from evergreen.monitoring.drift_verdict import verdict_of
from evergreen.receipts.modeling import EvaluationDetails, EvaluationReceipt
from evergreen.receipts.monitoring import DetectionReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import scorer_of
from evergreen.scoring.scoring import load_scorer
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, read_document
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline


def detect_drift(workspace: Workspace, *, as_of: datetime) -> DetectionReceipt:
    """
    Hold the newest whole day at *as_of* against its reference, and keep Evidently's report of it.

    Amber: the day is an alarm, or slow drift that the champion has not learnt from goes on; it
    requests a retrain when it is found. Red: N of the last M days were sudden alarms, which
    requests a retrain. Unknown: fewer than 7 days have a reference, or no column at all can alarm.
    Safe to repeat: what was measured is kept.

    :raises NoChampionError: If nothing may say anything of that day.
    :raises MonitoringError: If the day cannot be used, or has no reference at all.
    """
    spec, day = workspace.spec, scoring_day(as_of)
    ledger = ledger_store.read_ledger(workspace.store, spec.model)
    champion_entry = scorer_of(ledger, day, as_of=as_of)
    version = workspace.client.get_model_version(spec.model, champion_entry.version)
    samples = _samples(workspace, champion_entry, day)
    against = _reference(samples.days, day, spec)
    measured = measure_days(samples, day)
    judge = Judge(
        measured, spec.drift, column_weights(spec, _importances(workspace.store, version))
    )
    judged = [d for d in last_days(day, spec.drift) if d in measured]
    found = [judge.judge(d) for d in judged if measured[d].distances is not None]
    today = found[-1]
    report = report_day(samples, today.alarm, against, today.limits)
    verdict = verdict_of(
        found,
        spec.drift,
        new_columns=_schema_changes(samples.days, day),
        learnt_until=champion_entry.as_of.date(),
    )
    return DetectionReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        colour=verdict.colour,
        reasons=verdict.reasons,
        requests_retrain=verdict.requests_retrain,
        version=champion_entry.version,
        rows=report.current_rows,
        reference_days=tuple(against),
        reference_rows=report.reference_rows,
        history_days=today.history_days,
        alarms=tuple(one.alarm for one in found),
        columns=today.columns,
        slow=today.slow,
        report=report.kept,
    )


class ChampionPredictor:
    """Predictions of the champion, in one column; the model is loaded at the first call."""

    def __init__(
        self, client: MlflowClient, spec: ModelSpec, champion_entry: ledger_store.LedgerEntry
    ) -> None:
        self.client, self.spec, self.champion_entry = client, spec, champion_entry

    @cached_property
    def model(self) -> Pipeline:
        """Load the champion's pipeline, once."""
        return load_scorer(self.client, self.spec, self.champion_entry)

    def __call__(self, rows: pd.DataFrame) -> pd.Series:
        """Return the champion's prediction of each row, for several classes the likeliest one."""
        predicted = predict(self.model, rows, spec=self.spec.examples)
        if predicted.ndim == 1:
            return pd.Series(predicted, index=rows.index)
        names = [str(name) for name in self.model.classes_]
        return pd.Series([names[code] for code in predicted.argmax(axis=1)], index=rows.index)


def _samples(workspace: Workspace, champion_entry: ledger_store.LedgerEntry, day: date) -> Samples:
    """Return the days up to *day*, and those of the oldest one's reference."""
    spec = workspace.spec
    reach = DayRange(first=reach_of(day, spec.drift)[0], end=day + timedelta(days=1))
    return Samples(
        store=workspace.store,
        spec=spec,
        days=landed_days(workspace.store, spec, days=reach),
        predict=ChampionPredictor(workspace.client, spec, champion_entry),
        predictor_digest=champion_entry.artifact_sha256,
    )


def _reference(landed: Mapping[date, LandedDay], day: date, spec: ModelSpec) -> list[date]:
    if day not in landed:
        raise MonitoringError(
            f"{day} of {spec.model} did not land or breaks its contract, so nothing can be said of "
            "it. The log of validate_data says which. Land it again, then clear the run."
        )
    if found := reference_days(day, landed, spec.drift):
        return found
    kind = "of the same weekday " if spec.drift.same_weekday else ""
    raise MonitoringError(
        f"{day} of {spec.model} has nothing to be held against: fewer than half of the days {kind}"
        f"in the {spec.drift.reference_weeks} weeks before it can be used. Land them, or change "
        "drift.reference_weeks in model.yaml; then clear the run."
    )


def _importances(store: ObjectStore, version: ModelVersion) -> dict[str, float]:
    record = mlflow_registry.tag(version, mlflow_registry.TAG_EVALUATION)
    evaluation = load_document(store, record, EvaluationReceipt)
    details = read_document(store, evaluation.details, EvaluationDetails)
    return {found.name: found.cost or 0.0 for found in details.importances}


def _schema_changes(landed: Mapping[date, LandedDay], day: date) -> list[str]:
    """Return which raw columns were added, removed or changed type since the last usable day."""
    earlier = [d for d in landed if d < day]
    then, now = landed[max(earlier)].raw_columns, landed[day].raw_columns
    if not then or not now:
        return []  # read by a release that did not keep them
    return [
        f"schema: {name} is {now.get(name, 'gone')}, was {then.get(name, 'not there')}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
