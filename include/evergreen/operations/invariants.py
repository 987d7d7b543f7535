"""
What must hold at any time, whatever crashed or was repeated.

Tests, housekeeping and ``make check-state`` ask the same questions. By hand, and without Airflow:
``python -m evergreen check-invariants --model flight_delay --store file:///srv/evergreen
--mlflow URL``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError, EvergreenError
from evergreen.modeling.smoke_test import smoke_test
from evergreen.operations.ledger_checks import checkpoint_faults, ledger_faults
from evergreen.operations.stored_records import RecordScan, missing_objects, scan_records
from evergreen.receipts.common import Check, Status
from evergreen.receipts.data import WindowManifest
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import load_identity, require_recorded
from evergreen.serving.observations import is_expired, live_servers
from evergreen.storage import layout
from evergreen.storage.records import find_document, read_document, read_object
from evergreen.workspace import Workspace

if TYPE_CHECKING:
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
FAILED: Status = "failed"
#: Checks that do not stop housekeeping, which itself repairs what they find.
WARNINGS: dict[str, Status] = {"no run is left unfinished": "unknown"}
#: A server reads the ledger every few seconds, and then loads what it names.
FOLLOWED_WITHIN = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class _State:
    """What the checks ask; each part is read when a check needs it, so that one may fail alone."""

    workspace: Workspace
    now: datetime
    grace: timedelta

    @cached_property
    def ledger(self) -> ledger_store.Ledger:
        return ledger_store.read_ledger(self.workspace.store, self.workspace.spec.model)

    @cached_property
    def versions(self) -> list[ModelVersion]:
        return mlflow_registry.all_versions(self.workspace.client, self.workspace.spec.model)

    @cached_property
    def scan(self) -> RecordScan:
        return scan_records(self.workspace.store, self.workspace.spec.model)


def check_invariants(
    workspace: Workspace, *, now: datetime, grace: timedelta = timedelta(days=1)
) -> list[Check]:
    """
    Return one check per invariant of a model.

    An exception in one is that check's failure; the others go on.

    :param grace: How long a run may be unfinished before that counts; zero when nothing runs.
    """
    state = _State(workspace=workspace, now=now, grace=grace)
    return [_check(name, find, state) for name, find in CHECKS.items()]


def _check(name: str, find: Callable[[_State], Iterable[str]], state: _State) -> Check:
    errors, fault = list[str](), WARNINGS.get(name, FAILED)
    try:
        errors.extend(find(state))
    except EvergreenError as error:
        fault = FAILED
        errors.append(str(error))
    except Exception as error:  # noqa: BLE001  whatever is damaged, the other checks go on
        fault = FAILED
        errors.append(f"it could not be checked: {type(error).__name__}: {error}")
    more = f" and {len(errors) - MAX_NAMED} more" if len(errors) > MAX_NAMED else ""
    return Check(
        name=name,
        status=fault if errors else "passed",
        measured="; ".join(errors[:MAX_NAMED]) + more if errors else "holds",
        required="no exception",
    )


def _moved(state: _State) -> Iterator[str]:
    client, spec, ledger = state.workspace.client, state.workspace.spec, state.ledger
    found = mlflow_registry.aliases_of(client, spec.model).get(mlflow_registry.CHAMPION)
    expected = ledger.champion.version if ledger.champion else None
    if found != expected and ledger.pending is None:
        yield f"alias at version {found}, ledger says {expected}"


def _ledger_faults(state: _State) -> Iterator[str]:
    where = state.workspace
    return ledger_faults(where.store, where.client, where.spec.model)


def _checkpoint_faults(state: _State) -> Iterator[str]:
    return checkpoint_faults(state.workspace.store, state.workspace.spec.model)


def _open_changes(state: _State) -> Iterator[str]:
    spec, ledger, now = state.workspace.spec, state.ledger, state.now
    if ledger.pending is not None:
        yield f"{ledger.pending.action} of version {ledger.pending.version} has no outcome"
    running = ledger.rollout
    if running is not None and is_expired(running, spec.deployment.limits, now=now):
        yield f"version {running.entry.version} was left in stage {running.stage}"


def _lagging_servers(state: _State) -> Iterator[str]:
    """Yield every living server that has had time to follow the ledger and has not."""
    store, ledger, now = state.workspace.store, state.ledger, state.now
    champion = ledger.champion
    if champion is None or now - champion.recorded_at < FOLLOWED_WITHIN:
        return
    for beat in live_servers(store, now=now):
        serves = beat.models.get(ledger.model)
        if serves not in (None, champion.version):
            yield f"server {beat.replica} answers with version {serves}, not {champion.version}"


def _as_of_regressions(state: _State) -> Iterator[str]:
    latest_as_of: datetime | None = None
    for entry in state.ledger.outcomes:
        if entry.action == "promote" and latest_as_of is not None and entry.as_of < latest_as_of:
            yield (
                f"version {entry.version} as of {entry.as_of:%Y-%m-%d %H:%M} was promoted "
                f"after one as of {latest_as_of}"
            )
        latest_as_of = entry.as_of if latest_as_of is None else max(latest_as_of, entry.as_of)


def _unloadable(state: _State) -> Iterator[str]:
    client, spec, ledger = state.workspace.client, state.workspace.spec, state.ledger
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


def _ungated(state: _State) -> Iterator[str]:
    verdicts = {str(v.version): v.tags.get(mlflow_registry.TAG_PASSED) for v in state.versions}
    for entry in state.ledger.active_champions:
        if verdicts.get(entry.version) != "passed" and "forced" not in entry.reason:
            yield f"version {entry.version} has verdict {verdicts.get(entry.version)}"


def _duplicates(keys: Iterable[str]) -> Iterator[str]:
    return (f"{key} x{count}" for key, count in Counter(keys).items() if count > 1)


def _version_keys(state: _State) -> Iterator[str]:
    tags = [version.tags.get(mlflow_registry.TAG_KEY) for version in state.versions]
    return _duplicates(key for key in tags if key is not None)


def _run_keys(state: _State) -> Iterator[str]:
    client, spec = state.workspace.client, state.workspace.spec
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


def _unfinished(state: _State) -> Iterable[str]:
    where = state.workspace
    return mlflow_registry.running_since(
        where.client, where.spec.model, before=state.now - state.grace
    )


def _untraced(state: _State) -> Iterator[str]:
    for version in state.versions:
        lacking = [name for name in TRACED if name not in version.tags]
        if lacking:
            yield f"version {version.version} lacks {', '.join(lacking)}"
            continue
        try:
            yield from _untraced_version(state, version)
        except (EvergreenError, ValueError) as error:
            yield f"version {version.version}: {error}"


def _untraced_version(state: _State, version: ModelVersion) -> Iterator[str]:
    """Yield each record of *version* that is gone, or is not the one it was registered with."""
    store, tags = state.workspace.store, version.tags
    mlflow_registry.as_of_of(version)
    identity_key = layout.identity_record(version.name, tags[mlflow_registry.TAG_KEY])
    for key in (
        tags[mlflow_registry.TAG_EVALUATION],
        tags[mlflow_registry.TAG_EVIDENCE],
        identity_key,
    ):
        if store.head(key) is None:
            yield f"version {version.version}: {key} is gone"
    identity = find_document(store, identity_key, VersionIdentity)
    evaluation = find_document(store, tags[mlflow_registry.TAG_EVALUATION], EvaluationReceipt)
    if identity is None or evaluation is None:
        return
    require_recorded(version, evaluation)
    missed = identity.missed(evaluation)
    if tags[mlflow_registry.TAG_PASSED] == "passed" and missed:
        yield (
            f"version {version.version} is marked as passed, but {evaluation.record_key} and its "
            f"further stages missed {', '.join(missed)}"
        )


def _damaged_records(state: _State) -> Iterable[str]:
    return state.scan.faults


def _missing_objects(state: _State) -> Iterator[str]:
    return missing_objects(state.workspace.store, state.scan)


def _corrupt(state: _State) -> Iterator[str]:
    store, ledger = state.workspace.store, state.ledger
    champion = next(
        (
            v
            for v in state.versions
            if ledger.champion and str(v.version) == ledger.champion.version
        ),
        None,
    )
    if champion is None:
        return
    identity = load_identity(store, champion)
    manifest = read_document(store, identity.examples.manifest, WindowManifest)
    for ref in (*(day.data for day in manifest.days), identity.validation.record):
        try:
            read_object(store, ref)
        except ArtifactError as error:
            yield str(error)


#: Every invariant, in the order in which it is shown.
CHECKS: dict[str, Callable[[_State], Iterable[str]]] = {
    "every entry of the ledger is whole and follows the one before": _ledger_faults,
    "the alias is where the ledger put it": _moved,
    "the ledger's checkpoints repeat its entries": _checkpoint_faults,
    "no change of champion is left open": _open_changes,
    "every model server answers with the champion": _lagging_servers,
    "champions only move forward in as_of": _as_of_regressions,
    "champion and rollback target load and predict": _unloadable,
    "every champion passed its gates or was forced": _ungated,
    "one version per piece of work": _version_keys,
    "one run per piece of work": _run_keys,
    "no run is left unfinished": _unfinished,
    "every version can be traced": _untraced,
    "every record can be read": _damaged_records,
    "every manifest has its objects": _missing_objects,
    "the champion's data is intact": _corrupt,
}
