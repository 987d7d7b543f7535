"""
Remove what is too old, and never what could be needed to serve, to go back or to explain.

What an alias or the ledger names is kept for ever. Age counts from when a thing was made, not from
the day it is about, so that a backfilled past is not swept away the night after.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from evergreen.monitoring.monitors import MONITORS
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.operations import HousekeepingReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import canonical_json, load_document, put_once
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: A write or a run that was begun this long ago and not ended will never be.
ABANDONED_AFTER = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One thing that is too old, and how it goes; ``name`` is what the record says of it."""

    kind: str
    name: str
    remove: Callable[[], None]


def apply_retention(
    workspace: Workspace,
    *,
    as_of: datetime,
    now: datetime,
    dry_run: bool,
) -> HousekeepingReceipt:
    """
    List what retention lets go and, unless *dry_run*, remove it.

    Safe to repeat and to interrupt: every removal can be done twice, and a version goes last, so
    that one that is half removed is found again. The record of what went is kept.

    :param now: The clock; age is counted back from it.
    """
    protected = protected_versions(workspace)
    removals = [
        *_versions(workspace, protected=protected),
        *_reports(workspace.store, workspace.spec, now=now),
        *_monitoring(workspace.store, workspace.spec, now=now),
        *_predictions(workspace.store, workspace.spec, now=now),
        *_unfinished(workspace, now=now),
    ]
    record = None
    if removals and not dry_run:
        content = {"at": now.isoformat(), "removed": [[r.kind, r.name] for r in removals]}
        folder = layout.housekeeping_folder(workspace.spec.model)
        record = put_once(workspace.store, folder, canonical_json(content), suffix=".json")
        for removal in removals:
            removal.remove()
    return HousekeepingReceipt(
        model=workspace.spec.model,
        as_of=as_of,
        dry_run=dry_run,
        removed=dict(Counter(removal.kind for removal in removals)),
        kept_versions=len(protected),
        record=record,
    )


def protected_versions(workspace: Workspace) -> dict[str, ModelVersion]:
    """Return by number the versions that stay: the newest, and what ledger or an alias names."""
    found = {
        str(v.version): v
        for v in mlflow_registry.all_versions(workspace.client, workspace.spec.model)
    }
    newest = list(found)[-workspace.spec.retention.versions :]
    named = {
        entry.version
        for entry in ledger_store.read_ledger(workspace.store, workspace.spec.model).entries
    }
    aliased = set(mlflow_registry.aliases_of(workspace.client, workspace.spec.model).values())
    return {number: found[number] for number in {*newest, *named, *aliased} & set(found)}


def _versions(
    workspace: Workspace,
    *,
    protected: dict[str, ModelVersion],
) -> Iterator[Removal]:
    kept_runs = {
        run for version in protected.values() for run in _runs_of(workspace.store, version)
    }
    for version in mlflow_registry.all_versions(workspace.client, workspace.spec.model):
        if str(version.version) not in protected:
            yield Removal(
                kind="version",
                name=f"version {version.version} as of "
                f"{version.tags.get(mlflow_registry.TAG_AS_OF)}",
                remove=_remover(workspace.store, workspace.client, version, kept_runs=kept_runs),
            )


def _remover(
    store: ObjectStore, client: MlflowClient, version: ModelVersion, *, kept_runs: set[str]
) -> Callable[[], None]:
    def remove() -> None:
        key = version.tags.get(mlflow_registry.TAG_KEY, "none")
        for run_id, candidate_key in _runs_of(store, version).items():
            if run_id not in kept_runs:
                mlflow_registry.remove_run(client, run_id)
                store.delete(layout.candidate_record(version.name, candidate_key))
        for place in [
            *store.list(layout.evaluations_of(version.name, key)),
            *store.list(layout.evidence_of(version.name, key)),
            layout.reproduction_record(version.name, key),
            layout.identity_record(version.name, key),
        ]:
            store.delete(place)
        client.delete_model_version(version.name, version.version)

    return remove


def _runs_of(store: ObjectStore, version: ModelVersion) -> dict[str, str]:
    """Return the runs of all candidates of the night that made *version*, with their keys."""
    record = version.tags.get(mlflow_registry.TAG_EVALUATION)
    if record is None or store.head(record) is None:
        key = version.tags.get(mlflow_registry.TAG_KEY, "none")
        return {version.run_id: key} if version.run_id else {}
    found = load_document(store, record, EvaluationReceipt)
    return {candidate.run_id: candidate.key for candidate in found.candidates}


#: Kinds of objects that monitors, their pages and the model servers keep by day.
MONITORED: tuple[layout.Kind, ...] = (
    "monitoring",
    "rollouts",
    *(folder for monitor in MONITORS.values() for folder in monitor.folders),
)


def _reports(store: ObjectStore, spec: ModelSpec, *, now: datetime) -> Iterator[Removal]:
    named = {e.as_of for e in ledger_store.read_ledger(store, spec.model).entries}
    folders = tuple(f"{layout.training_reports(spec.model, as_of)}/" for as_of in named)
    oldest = now - timedelta(days=spec.retention.reports_days)
    for key in store.list(layout.all_of("reports", spec.model)):
        if not key.startswith(folders) and _is_older(store, key, than=oldest):
            yield Removal(kind="report", name=key, remove=partial(store.delete, key))


def _monitoring(store: ObjectStore, spec: ModelSpec, *, now: datetime) -> Iterator[Removal]:
    """Yield old pages, what lies behind them and what servers logged, but no request."""
    oldest = now - timedelta(days=spec.retention.reports_days)
    for kind in MONITORED:
        for key in store.list(layout.all_of(kind, spec.model)):
            if _is_older(store, key, than=oldest):
                yield Removal(kind=kind, name=key, remove=partial(store.delete, key))


def _predictions(store: ObjectStore, spec: ModelSpec, *, now: datetime) -> Iterator[Removal]:
    """Yield old predictions; manifests go before their data, so no reader finds half a day."""
    oldest = now - timedelta(days=spec.retention.predictions_days)
    keys = list(store.list(layout.all_of("predictions", spec.model)))
    for key in sorted(keys, key=lambda key: not layout.is_manifest(key)):
        if _is_older(store, key, than=oldest):
            yield Removal(kind="prediction", name=key, remove=partial(store.delete, key))


def _unfinished(workspace: Workspace, *, now: datetime) -> Iterator[Removal]:
    for name, begun in workspace.store.unfinished():
        if begun < now - ABANDONED_AFTER:
            yield Removal(
                kind="unfinished write", name=name, remove=partial(workspace.store.discard, name)
            )
    for run_id in mlflow_registry.running_since(
        workspace.client, workspace.spec.model, before=now - ABANDONED_AFTER
    ):
        yield Removal(
            kind="unfinished run",
            name=run_id,
            remove=partial(mlflow_registry.remove_run, workspace.client, run_id),
        )


def _is_older(store: ObjectStore, key: str, *, than: datetime) -> bool:
    head = store.head(key)
    return head is not None and head.written_at < than
