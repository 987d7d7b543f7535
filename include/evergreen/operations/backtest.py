"""
Replay what would have happened: which nights would have promoted, and what that was worth.

The nights themselves are ordinary retrain runs, backfilled in any order or in parallel; here their
versions are walked through in the order of ``as_of``, each compared with the champion that this
replay has by then. Nothing is promoted, and the ledger is neither read nor written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evergreen.data import examples
from evergreen.data.parquet import from_parquet
from evergreen.data.window import start_of, whole_days_end
from evergreen.errors import BacktestError
from evergreen.modeling import metrics
from evergreen.modeling.comparison import Comparison, load_candidate
from evergreen.modeling.evaluation import evaluation_of
from evergreen.modeling.metrics import Labels, classes_among
from evergreen.modeling.prediction import predict
from evergreen.operations.backtest_plot import plot_backtest
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import WindowManifest
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.operations import BacktestReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.registry import mlflow_registry
from evergreen.registry.champions import VersionToBeat
from evergreen.registry.version_record import load_identity, spec_then
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_once, read_document, read_object
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: What is compared: promote through the gates, never promote again, promote every night.
STRATEGIES = ("evolving", "frozen", "ungated")


@dataclass(frozen=True, kw_only=True)
class Night:
    """One retrain of the past: its version, what made it and how it was judged."""

    version: ModelVersion
    identity: VersionIdentity
    evaluation: EvaluationReceipt

    @property
    def as_of(self) -> datetime:
        """The instant the night lived at."""
        return self.identity.as_of

    @cached_property
    def spec(self) -> ModelSpec:
        """The spec as it was that night, gates included."""
        return spec_then(self.identity)


@dataclass(frozen=True, kw_only=True)
class ScorerChoice:
    """One day, and the night whose version each strategy would have scored it with."""

    day: date
    by: dict[str, Night]


@dataclass(frozen=True, kw_only=True)
class ScoredDay:
    """One day's labels, and the predictions of each strategy's version."""

    serving: ScorerChoice
    truth: Labels
    predicted: dict[str, metrics.Predictions]


def backtest(
    workspace: Workspace,
    *,
    first: datetime,
    last: datetime,
) -> BacktestReceipt:
    """
    Compare, day by day, the champion that evolves through the gates with one frozen on day one.

    A third line promotes every night without asking, so that the price of the gates shows. A day is
    scored by the newest champion that had learnt nothing of it, and measured on the labels that the
    newest night of the range knew. Safe to repeat: the result lies under its own digest.

    :param first: The first night's ``as_of``, included.
    :param last: The last night's ``as_of``, included.
    :raises BacktestError: If fewer than two nights of the range have a version.
    """
    nights = _nights(workspace, first=first, last=last)
    promoted = list(_promotions(workspace.store, workspace.client, nights))
    served = list(_served(nights, promoted))
    labelled = dict(_labelled_days(workspace.store, nights))
    scorable = [serving for serving in served if serving.day in labelled]
    if not scorable:
        raise BacktestError(
            f"{len(nights)} nights from {nights[0].as_of:%Y-%m-%d} to {nights[-1].as_of:%Y-%m-%d} "
            f"leave no labelled day after the first promotion, that of {promoted[0].as_of:%Y-%m-%d}"
            ". Widen the range."
        )
    scored = _score(scorable, labelled, spec=workspace.spec, client=workspace.client)
    table = _by_day(scored, workspace.spec)
    pooled = _pooled(scored, workspace.spec)
    span = f"{nights[0].as_of:%Y-%m-%d}_{nights[-1].as_of:%Y-%m-%d}"
    folder = layout.backtest_folder(workspace.spec.model, span)
    csv = table.to_csv(index=False, float_format="%.6f").encode()
    promotion_days = [night.as_of.date() for night in promoted]
    plot = plot_backtest(workspace.spec, table, promotion_days, pooled)
    return BacktestReceipt(
        model=workspace.spec.model,
        first=nights[0].as_of,
        last=nights[-1].as_of,
        nights=len(nights),
        promotions=len(promoted),
        days=len(table),
        rows=sum(len(day.truth) for day in scored),
        metric=workspace.spec.metric,
        pooled=pooled,
        table=put_once(workspace.store, folder, csv, suffix=".csv"),
        plot=put_once(workspace.store, folder, plot, suffix=".png"),
    )


def _nights(
    workspace: Workspace,
    *,
    first: datetime,
    last: datetime,
) -> list[Night]:
    """Return the nights of the range, oldest first; of several versions of a night the newest."""
    newest: dict[datetime, ModelVersion] = {}
    for version in mlflow_registry.all_versions(workspace.client, workspace.spec.model):
        as_of = mlflow_registry.as_of_of(version)
        if first <= as_of <= last:
            newest[as_of] = version
    if len(newest) < 2:
        raise BacktestError(
            f"{len(newest)} night(s) of {workspace.spec.model} between {first:%Y-%m-%d %H:%M} and "
            f"{last:%Y-%m-%d %H:%M} have a version, at least 2 are needed. Make them first: "
            f"airflow backfill create --dag-id {workspace.spec.model}__retrain --from-date ... "
            "--to-date ..."
        )
    return [_night(workspace.store, version) for _, version in sorted(newest.items())]


def _night(store: ObjectStore, version: ModelVersion) -> Night:
    record = mlflow_registry.tag(version, mlflow_registry.TAG_EVALUATION)
    return Night(
        version=version,
        identity=load_identity(store, version),
        evaluation=load_document(store, record, EvaluationReceipt),
    )


def _promotions(
    store: ObjectStore, client: MlflowClient, nights: Sequence[Night]
) -> Iterator[Night]:
    """Yield the nights that would have promoted, each compared with the one before it."""
    champion: Night | None = None
    for number, night in enumerate(nights, start=1):
        comparison = Comparison(
            best=night.evaluation.challenger,
            candidates=night.evaluation.candidates,
            examples=night.identity.examples,
            champion=VersionToBeat(
                version=str(champion.version.version), registered=champion.version
            )
            if champion
            else None,
        )
        found = evaluation_of(Workspace(store, client, night.spec), comparison, may_promote=False)
        if found.passed:
            champion = night
            yield night
        if number % 10 == 0 or number == len(nights):
            log.info("judged %d of %d nights", number, len(nights))


def _served(nights: Sequence[Night], promoted: Sequence[Night]) -> Iterator[ScorerChoice]:
    """Yield the days that begin after the first promotion, with what would have scored them."""
    if not promoted:
        raise BacktestError("No night of the range passed its gates, so nothing would have served.")
    day = whole_days_end(promoted[0].as_of - timedelta(microseconds=1)) + timedelta(days=1)
    while start_of(day) < nights[-1].as_of:
        yield ScorerChoice(
            day=day,
            by={
                "evolving": _newest_before(promoted, day),
                "frozen": promoted[0],
                "ungated": _newest_before(nights, day),
            },
        )
        day += timedelta(days=1)


def _newest_before(nights: Sequence[Night], day: date) -> Night:
    return [night for night in nights if night.as_of <= start_of(day)][-1]


def _labelled_days(
    store: ObjectStore, nights: Sequence[Night]
) -> Iterator[tuple[date, pd.DataFrame]]:
    """Yield each day that a night tested on, with the labels the newest such night knew."""
    last: dict[date, tuple[Night, ObjectRef]] = {}
    for night in nights:
        manifest = read_document(store, night.identity.examples.manifest, WindowManifest)
        for entry in manifest.days:
            if entry.segment == "test":
                last[entry.day] = (night, entry.data)
    for day, (night, ref) in last.items():
        spec = night.spec.examples
        frame = examples.known(from_parquet(read_object(store, ref)), spec=spec, as_of=night.as_of)
        yield day, frame.rename(columns={spec.label: "label"})


def _score(
    served: Sequence[ScorerChoice],
    labelled: dict[date, pd.DataFrame],
    *,
    spec: ModelSpec,
    client: MlflowClient,
) -> list[ScoredDay]:
    """Return each day with the predictions of every strategy; each model is loaded once."""
    jobs: dict[str, tuple[Night, set[date]]] = {}
    for serving in served:
        for night in serving.by.values():
            jobs.setdefault(night.identity.key, (night, set()))[1].add(serving.day)
    classes = classes_among(spec.examples, *(rows["label"] for rows in labelled.values()))
    predicted: dict[tuple[str, date], metrics.Predictions] = {}
    for key, (night, days) in jobs.items():
        model = load_candidate(client, night.spec, night.identity.challenger)
        for day in days:
            predicted[key, day] = predict(
                model, labelled[day], spec=night.spec.examples, classes=classes
            )
    named = spec.examples.model_copy(update={"label": "label"})
    return [
        ScoredDay(
            serving=s,
            truth=Labels.of(labelled[s.day], spec=named, classes=classes),
            predicted={name: predicted[night.identity.key, s.day] for name, night in s.by.items()},
        )
        for s in served
    ]


def _by_day(scored: Sequence[ScoredDay], spec: ModelSpec) -> pd.DataFrame:
    """Return one row a day: rows, and version and metric of each strategy."""
    found = []
    for day in scored:
        if not day.truth.is_measurable:
            continue  # a day on which all rows are alike has nothing to measure
        line: dict[str, Any] = {"day": day.serving.day, "rows": len(day.truth)}
        for name, night in day.serving.by.items():
            line[f"{name}_version"] = int(night.version.version)
            line[name] = metrics.value(day.truth, spec.metric, day.predicted[name])
        found.append(line)
    return pd.DataFrame(found)


def _pooled(scored: Sequence[ScoredDay], spec: ModelSpec) -> dict[str, float]:
    """Return the metric of each strategy over the rows of all days together."""
    first = scored[0].truth
    values = np.concatenate([day.truth.values for day in scored])
    truth = Labels(problem=first.problem, values=values, classes=first.classes)
    return {
        name: metrics.value(
            truth, spec.metric, np.concatenate([day.predicted[name] for day in scored])
        )
        for name in STRATEGIES
    }
