"""
What must hold at any time, whatever crashed or was repeated.

Tests, housekeeping and ``make check-state`` ask the same questions. By hand, and without Airflow:
``python -m evergreen check-invariants --model flight_delay --store file:///srv/evergreen
--mlflow URL``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.modeling.smoke_test import smoke_test
from evergreen.operations.ledger_checks import checkpoint_faults
from evergreen.receipts.common import Check, ObjectRef
from evergreen.receipts.data import PredictionsManifest
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import load_identity
from evergreen.serving.observations import is_expired, live_servers
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, read_object
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

#: Tags without which a version cannot be traced to what made it.
TRACED = (
    mlflow_registry.TAG_KEY,
    mlflow_registry.TAG_AS_OF,
    mlflow_registry.TAG_SHA256,
    mlflow_registry.TAG_MODEL_ID,
    mlflow_registry.TAG_EVALUATION,
    mlflow_registry.TAG_PASSED,
    mlflow_registry.TAG_EVIDENCE,
)
MAX_NAMED = 5
#: A server reads the ledger every few seconds, and then loads what it names.
FOLLOWED_WITHIN = timedelta(minutes=5)


def check_invariants(
    workspace: Workspace, *, now: datetime, grace: timedelta = timedelta(days=1)
) -> list[Check]:
    """
    Return one check per invariant of a model.

    :param grace: How long a run may be unfinished before that counts; zero when nothing runs.
    """
    store, client, spec = workspace.store, workspace.client, workspace.spec
    ledger = ledger_store.read_ledger(store, spec.model)
    versions = mlflow_registry.all_versions(client, spec.model)
    return [
        _check("the alias is where the ledger put it", _moved(client, spec, ledger)),
        _check("the ledger's checkpoints repeat its entries", checkpoint_faults(store, spec.model)),
        _check("no change of champion is left open", _open_changes(spec, ledger, now=now)),
        _check(
            "every model server answers with the champion", _lagging_servers(store, ledger, now=now)
        ),
        _check("champions only move forward in as_of", _as_of_regressions(ledger)),
        _check("champion and rollback target load and predict", _unloadable(client, spec, ledger)),
        _check("every champion passed its gates or was forced", _ungated(ledger, versions)),
        _check(
            "one version per piece of work",
            _duplicates(
                v.tags[mlflow_registry.TAG_KEY]
                for v in versions
                if mlflow_registry.TAG_KEY in v.tags
            ),
        ),
        _check("one run per piece of work", _run_keys(client, spec)),
        _check(
            "no run is left unfinished",
            mlflow_registry.running_since(client, spec.model, before=now - grace),
        ),
        _check("every version can be traced", _untraced(store, client, versions)),
        _check("every manifest has its objects", _broken_manifests(store, spec)),
        _check("the champion's data is intact", _corrupt(store, versions, ledger)),
    ]


def _check(name: str, errors: Iterable[str]) -> Check:
    found = list(errors)
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return Check(
        name=name,
        status="failed" if found else "passed",
        measured="; ".join(found[:MAX_NAMED]) + more if found else "holds",
        required="no exception",
    )


def _moved(client: MlflowClient, spec: ModelSpec, ledger: ledger_store.Ledger) -> Iterator[str]:
    found = mlflow_registry.aliases_of(client, spec.model).get(mlflow_registry.CHAMPION)
    expected = ledger.champion.version if ledger.champion else None
    if found != expected and ledger.pending is None:
        yield f"alias at version {found}, ledger says {expected}"


def _open_changes(spec: ModelSpec, ledger: ledger_store.Ledger, *, now: datetime) -> Iterator[str]:
    if ledger.pending is not None:
        yield f"{ledger.pending.action} of version {ledger.pending.version} has no outcome"
    running = ledger.rollout
    if running is not None and is_expired(running, spec.deployment.limits, now=now):
        yield f"version {running.entry.version} was left in stage {running.stage}"


def _lagging_servers(
    store: ObjectStore, ledger: ledger_store.Ledger, *, now: datetime
) -> Iterator[str]:
    """Yield every living server that has had time to follow the ledger and has not."""
    champion = ledger.champion
    if champion is None or now - champion.recorded_at < FOLLOWED_WITHIN:
        return
    for beat in live_servers(store, now=now):
        serves = beat.models.get(ledger.model)
        if serves not in (None, champion.version):
            yield f"server {beat.replica} answers with version {serves}, not {champion.version}"


def _as_of_regressions(ledger: ledger_store.Ledger) -> Iterator[str]:
    latest_as_of: datetime | None = None
    for entry in ledger.outcomes:
        if entry.action == "promote" and latest_as_of is not None and entry.as_of < latest_as_of:
            yield (
                f"version {entry.version} as of {entry.as_of:%Y-%m-%d %H:%M} was promoted "
                f"after one as of {latest_as_of}"
            )
        latest_as_of = entry.as_of if latest_as_of is None else max(latest_as_of, entry.as_of)


def _unloadable(
    client: MlflowClient, spec: ModelSpec, ledger: ledger_store.Ledger
) -> Iterator[str]:
    for entry in filter(None, (ledger.champion, ledger.rollback_target())):
        version = mlflow_registry.find_version(client, spec.model, entry.version)
        if version is None:
            yield f"version {entry.version} is gone"
            continue
        if mlflow_registry.tag(version, mlflow_registry.TAG_SHA256) != entry.artifact_sha256:
            yield f"version {entry.version} names another artifact than the ledger"
        try:
            smoke_test(client, spec, version)
        except ArtifactError as error:
            yield str(error)


def _ungated(ledger: ledger_store.Ledger, versions: list[ModelVersion]) -> Iterator[str]:
    verdicts = {str(v.version): v.tags.get(mlflow_registry.TAG_PASSED) for v in versions}
    for entry in ledger.active_champions:
        if verdicts.get(entry.version) != "passed" and "forced" not in entry.reason:
            yield f"version {entry.version} has verdict {verdicts.get(entry.version)}"


def _duplicates(keys: Iterable[str]) -> Iterator[str]:
    return (f"{key} x{count}" for key, count in Counter(keys).items() if count > 1)


def _run_keys(client: MlflowClient, spec: ModelSpec) -> Iterator[str]:
    experiment = client.get_experiment_by_name(spec.model)
    if experiment is None:
        return iter(())
    runs, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], page_token=token)
        runs += list(page)
        token = page.token
        if not token:
            break
    return _duplicates(
        r.data.tags[mlflow_registry.TAG_KEY] for r in runs if mlflow_registry.TAG_KEY in r.data.tags
    )


def _untraced(
    store: ObjectStore, client: MlflowClient, versions: list[ModelVersion]
) -> Iterator[str]:
    for version in versions:
        lacking = [name for name in TRACED if name not in version.tags]
        if lacking:
            yield f"version {version.version} lacks {', '.join(lacking)}"
            continue
        for key in (
            version.tags[mlflow_registry.TAG_EVALUATION],
            version.tags[mlflow_registry.TAG_EVIDENCE],
            layout.identity_record(version.name, version.tags[mlflow_registry.TAG_KEY]),
        ):
            if store.head(key) is None:
                yield f"version {version.version}: {key} is gone"


def _broken_manifests(store: ObjectStore, spec: ModelSpec) -> Iterator[str]:
    """Look at sizes only: reading every byte of history would take ever longer."""
    seen: set[str] = set()
    for key, refs in _manifests(store, spec):
        for ref in refs:
            if ref.key in seen:
                continue
            seen.add(ref.key)
            head = store.head(ref.key)
            if head is None or head.size != ref.size:
                yield f"{key}: {ref.key} is {'gone' if head is None else 'cut'}"


def _manifests(store: ObjectStore, spec: ModelSpec) -> Iterator[tuple[str, list[ObjectRef]]]:
    for key in store.list(layout.all_of("predictions", spec.model)):
        if layout.is_manifest(key):
            manifest = load_document(store, key, PredictionsManifest)
            yield key, [manifest.examples, manifest.predictions]
    for key in store.list(f"{layout.examples_windows(spec.model)}/"):
        days = json.loads(store.get(key))["days"]
        yield key, [ObjectRef.model_validate(day["data"]) for day in days]


def _corrupt(
    store: ObjectStore, versions: list[ModelVersion], ledger: ledger_store.Ledger
) -> Iterator[str]:
    champion = next(
        (v for v in versions if ledger.champion and str(v.version) == ledger.champion.version), None
    )
    if champion is None:
        return
    try:
        identity = load_identity(store, champion)
        manifest = json.loads(read_object(store, identity.examples.manifest))
        for day in manifest["days"]:
            read_object(store, ObjectRef.model_validate(day["data"]))
    except ArtifactError as error:
        yield str(error)
