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
from evergreen.data.window import DayRange, scoring_day, start_of
from evergreen.errors import MonitoringError
from evergreen.modeling.prediction import predict
from evergreen.monitoring.drift_distances import (
    MISSING,
    PREDICTION,
    SPREAD,
    UNSEEN,
    Samples,
    distance_table,
    reference_days,
    sample_of,
    watched_columns,
)
from evergreen.monitoring.drift_thresholds import MIN_THRESHOLD_DAYS, Threshold, thresholds
from evergreen.receipts.modeling import EvaluationDetails, EvaluationReceipt
from evergreen.receipts.monitoring import DayAlarm, DetectionReceipt, Finding, KeptReport
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import scorer_of
from evergreen.reporting.evidently_report import keep_report
from evergreen.scoring.scoring import load_scorer
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import (
    canonical_json,
    digest_of,
    find_or_make,
    load_document,
    read_document,
)
from evergreen.values import Frozen
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

#: Half of a column's worth is what it is worth to the champion; the other half it has anyway.
FAIR_SHARE = 0.5
BLIND = (
    "drift: no column can alarm, their limits lie beyond every value seen: the days before differ "
    "too much from each other, or have too few rows"
)


def detect_drift(workspace: Workspace, *, as_of: datetime) -> DetectionReceipt:
    """
    Hold the newest whole day at *as_of* against its reference, and keep Evidently's report of it.

    Amber: the day is an alarm. Red: N of the last M days were, which asks for a retrain. Unknown:
    fewer than 7 days have a reference, or no column at all can alarm. Safe to repeat: what was
    measured is kept.

    :raises NoChampionError: If nothing may say anything of that day.
    :raises MonitoringError: If the day cannot be used, or has no reference at all.
    """
    day = scoring_day(as_of)
    needed, seen = workspace.spec.drift.persistence
    ledger = ledger_store.read_ledger(workspace.store, workspace.spec.model)
    champion_entry = scorer_of(ledger, day, as_of=as_of)
    version = workspace.client.get_model_version(workspace.spec.model, champion_entry.version)
    back = workspace.spec.drift.history_days + seen - 1
    first = day - timedelta(days=back + 7 * workspace.spec.drift.reference_weeks)
    landed = landed_days(
        workspace.store, workspace.spec, days=DayRange(first=first, end=day + timedelta(days=1))
    )
    against = _reference(landed, day, workspace.spec)
    samples = Samples(
        store=workspace.store,
        spec=workspace.spec,
        days=landed,
        predict=ChampionPredictor(workspace.client, workspace.spec, champion_entry),
        predictor_digest=champion_entry.artifact_sha256,
    )
    table, possible = distance_table(
        samples, [day - timedelta(days=n) for n in range(back, -1, -1)]
    )
    weights = column_weights(workspace.spec, _importances(workspace.store, version))
    limits = {
        table.index[n]: _limits(
            table.iloc[:n],
            workspace.spec,
            weights,
            rows=landed[table.index[n]].prepared.rows,
            possible=possible,
        )
        for n in range(max(len(table) - seen, 0), len(table))
    }
    alarms = tuple(alarm_of(d, table.loc[d], of) for d, of in limits.items())
    alarm = alarms[-1]
    report = _report_once(samples, alarm, against, limits[day])
    count = sum(found.is_alarm for found in alarms)
    is_persistent = count >= needed
    new_columns = list(_schema_changes(landed, day))
    columns = _columns(table.loc[day], limits[day])
    is_blind = bool(columns) and not any(found.can_alarm for found in columns)
    colour = "amber" if alarm.is_alarm or new_columns else "unknown" if is_blind else "green"
    return DetectionReceipt(
        model=workspace.spec.model,
        as_of=as_of,
        day=day,
        colour="red" if is_persistent else colour if alarm.is_known else "unknown",
        reasons=(
            *_explain(alarm),
            *new_columns,
            *([BLIND] if is_blind else []),
            *([f"drift on {count} of the last {seen} days"] if is_persistent else []),
            *([] if alarm.is_known else [_too_short(len(table) - 1)]),
        ),
        requests_retrain=is_persistent,
        version=champion_entry.version,
        rows=report.current_rows,
        reference_days=tuple(against),
        reference_rows=report.reference_rows,
        history_days=min(len(table) - 1, workspace.spec.drift.history_days),
        alarms=alarms,
        columns=tuple(columns),
        report=report.kept,
    )


class DayReport(Frozen):
    """Evidently's report of one day, and how many rows stand on each side of it."""

    kept: KeptReport
    current_rows: int
    reference_rows: int


def alarm_of(day: date, distances: pd.Series, limits: Mapping[str, Threshold]) -> DayAlarm:
    """Return whether *day* lies beyond any of *limits*, the most surprising column first."""
    findings = [found for found in _columns(distances, limits) if found.distance > found.limit]
    findings.sort(key=lambda found: found.share, reverse=True)
    return DayAlarm(day=day, is_known=bool(limits), findings=tuple(findings))


def column_weights(spec: ModelSpec, importances: Mapping[str, float]) -> dict[str, float]:
    """
    Return what each watched column is worth, 1 on average.

    Half is the same for all, half goes by the spec's ``drift.weights`` or, without them, by what
    shuffling the column costs the champion.
    """
    columns = watched_columns(spec)
    given = dict(spec.drift.weights) or {c: max(importances.get(c, 0.0), 0.0) for c in columns}
    total = sum(given.get(name, 0.0) for name in columns)
    if total <= 0:
        return {}
    return {
        name: FAIR_SHARE + (1 - FAIR_SHARE) * given.get(name, 0.0) / total * len(columns)
        for name in columns
    }


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
    return {found.name: found.cost for found in details.importances}


def _limits(
    history: pd.DataFrame,
    spec: ModelSpec,
    weights: Mapping[str, float],
    *,
    rows: int,
    possible: Mapping[str, float],
) -> dict[str, Threshold]:
    history = history.iloc[-spec.drift.history_days :]
    size = min(rows, spec.drift.sample_rows)
    # Twice the greatest standard error of a share of so many rows.
    shares = [name for name in history.columns if name.endswith((MISSING, UNSEEN))]
    return thresholds(
        history,
        weights={name: weights.get(_column_of(name), 1.0) for name in history.columns},
        resolution=dict.fromkeys(shares, size**-0.5),
        false_alarm_rate=spec.drift.false_alarm_rate,
        possible=possible,
    )


def _column_of(distance: str) -> str:
    return distance.removesuffix(MISSING).removesuffix(UNSEEN).removesuffix(SPREAD)


def _columns(distances: pd.Series, limits: Mapping[str, Threshold]) -> list[Finding]:
    return [
        Finding(
            name=name,
            distance=float(distances[name]),
            usual=of.usual,
            limit=of.limit,
            can_alarm=of.can_alarm,
        )
        for name, of in limits.items()
        if name in distances and pd.notna(distances[name])
    ]


def _explain(alarm: DayAlarm) -> list[str]:
    return [
        f"drift: {found.name} lies {found.distance:.4g} from its reference, usual are "
        f"{found.usual:.4g}, an alarm is beyond {found.limit:.4g}"
        for found in alarm.findings
    ]


def _too_short(days: int) -> str:
    return (
        f"drift cannot be told yet: {days} days have a reference to lie at a distance from, "
        f"{MIN_THRESHOLD_DAYS} are needed"
    )


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


def _report_once(
    samples: Samples, alarm: DayAlarm, against: list[date], limits: Mapping[str, Threshold]
) -> DayReport:
    """
    Return Evidently's report of the day, made now unless it is kept for the same data and limits.

    Evidently numbers the parts of a page at random, so the same report made twice would differ.
    """
    store, spec, day = samples.store, samples.spec, alarm.day
    used = [samples.days[d].prepared.data.sha256 for d in (day, *against)]
    marks = {name: found.limit for name, found in limits.items()}
    drift = canonical_json(spec.drift.model_dump(mode="json"))
    cache_key = digest_of(
        *used, samples.predictor_digest, canonical_json(marks), drift, str(spec.seed)
    )
    folder = layout.monitoring_report(spec.model, day)

    def make() -> DayReport:
        reference, current = sample_of(samples, day, against)
        sizes = {"current_rows": len(current), "reference_rows": len(reference)}
        kept = keep_report(
            store,
            folder=folder,
            reference=reference,
            current=current,
            note=_note(spec, alarm, against, **sizes),
            name=f"{spec.model} {day}",
            at=start_of(day),
            limits=marks,
        )
        return DayReport(kept=kept, **sizes)

    return find_or_make(store, f"{folder}/{cache_key}.json", DayReport, make)[0]


def _note(
    spec: ModelSpec, alarm: DayAlarm, against: list[date], *, reference_rows: int, current_rows: int
) -> str:
    """Return what the reader of the page must know before its first number."""
    verdict = (
        f"{len(alarm.findings)} distances beyond their limits"
        if alarm.is_known
        else "too short a history to tell"
    )
    days = ", ".join(str(day) for day in reversed(against))
    return (
        '<p style="font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto">'
        f"<strong>{spec.model}, {alarm.day}: {verdict}.</strong> Current: {current_rows} rows of "
        f"that day. Reference: {reference_rows} rows of {days}. &ldquo;Detected&rdquo; means "
        "farther from the reference than the days before it were from theirs; where no limit could "
        "be set, "
        f"beyond Evidently's default. {PREDICTION} is what the champion says of the rows.</p>"
    )
