"""
What must hold at any time, whatever crashed, was repeated or came twice.

Tests, housekeeping and ``make check-state`` ask the same questions. By hand, and without Airflow:
``python -m evergreen.operations.invariants --model flight_delay --store file:///srv/evergreen
--mlflow URL``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evergreen.errors import ArtefactError
from evergreen.modeling.smoke_test import probe
from evergreen.receipts.common import Check, ObjectRef
from evergreen.registry import ledger, mlflow_registry
from evergreen.registry.version_record import identity_key, load_identity
from evergreen.serving.observations import is_expired, live_servers
from evergreen.spec import ModelSpec, load_spec
from evergreen.storage.base import ObjectStore
from evergreen.storage.opening import open_store
from evergreen.storage.records import read

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


def check_state(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    *,
    now: datetime,
    grace: timedelta = timedelta(days=1),
) -> list[Check]:
    """
    Return one check per invariant of *spec*'s model.

    :param grace: How long a run may be unfinished before that counts; zero when nothing runs.
    """
    book = ledger.read(store, spec.model)
    versions = mlflow_registry.all_versions(client, spec.model)
    return [
        _check("the alias is where the ledger put it", _moved(client, spec, book)),
        _check("the ledger's checkpoints repeat its entries", _strange(store, spec.model)),
        _check("no change of champion is left open", _open(spec, book, now=now)),
        _check("every model server answers with the champion", _behind(store, book, now=now)),
        _check("champions only move forward in as_of", _backwards(book)),
        _check("champion and rollback target load and predict", _dead(client, spec, book)),
        _check("every champion passed its gates or was forced", _ungated(book, versions)),
        _check(
            "one version per piece of work",
            _twice(
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
        _check("the champion's data is intact", _damaged(store, versions, book)),
    ]


def _check(name: str, faults: Iterable[str]) -> Check:
    found = list(faults)
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return Check(
        name=name,
        status="failed" if found else "passed",
        measured="; ".join(found[:MAX_NAMED]) + more if found else "holds",
        required="no exception",
    )


def _moved(client: MlflowClient, spec: ModelSpec, book: ledger.Ledger) -> Iterator[str]:
    found = mlflow_registry.aliases_of(client, spec.model).get(mlflow_registry.CHAMPION)
    expected = book.champion.version if book.champion else None
    if found != expected and book.pending is None:
        yield f"alias at version {found}, ledger says {expected}"


def _strange(store: ObjectStore, model: str) -> Iterator[str]:
    """Yield every checkpoint that says something else than the entries, which are the truth."""
    keys = list(store.list(f"ledger/{model}/"))
    for place in store.list(f"ledger_checkpoints/{model}/"):
        number = int(PurePosixPath(place).stem)
        entries = ledger.read_entries(store, keys[number - ledger.CHECKPOINT_EVERY : number])
        if ledger.read_checkpoint(store, model, number) != entries:
            yield f"{place} differs from the entries it repeats; delete it"


def _open(spec: ModelSpec, book: ledger.Ledger, *, now: datetime) -> Iterator[str]:
    if book.pending is not None:
        yield f"{book.pending.action} of version {book.pending.version} has no outcome"
    running = book.rollout
    if running is not None and is_expired(running, spec.deployment.limits, now=now):
        yield f"version {running.entry.version} was left in stage {running.stage}"


def _behind(store: ObjectStore, book: ledger.Ledger, *, now: datetime) -> Iterator[str]:
    """Yield every living server that has had time to follow the ledger and has not."""
    champion = book.champion
    if champion is None or now - champion.recorded_at < FOLLOWED_WITHIN:
        return
    for beat in live_servers(store, now=now):
        serves = beat.models.get(book.model)
        if serves not in (None, champion.version):
            yield f"server {beat.replica} answers with version {serves}, not {champion.version}"


def _backwards(book: ledger.Ledger) -> Iterator[str]:
    horizon: datetime | None = None
    for entry in book.outcomes:
        if entry.action == "promote" and horizon is not None and entry.as_of < horizon:
            yield f"version {entry.version} as of {entry.as_of:%Y-%m-%d %H:%M} came after {horizon}"
        horizon = entry.as_of if horizon is None else max(horizon, entry.as_of)


def _dead(client: MlflowClient, spec: ModelSpec, book: ledger.Ledger) -> Iterator[str]:
    for entry in filter(None, (book.champion, book.rollback_target())):
        version = mlflow_registry.find_version(client, spec.model, entry.version)
        if version is None:
            yield f"version {entry.version} is gone"
            continue
        if mlflow_registry.tag(version, mlflow_registry.TAG_SHA256) != entry.artefact_sha256:
            yield f"version {entry.version} names another artefact than the ledger"
        try:
            probe(client, spec, version)
        except ArtefactError as error:
            yield str(error)


def _ungated(book: ledger.Ledger, versions: list[ModelVersion]) -> Iterator[str]:
    verdicts = {str(v.version): v.tags.get(mlflow_registry.TAG_PASSED) for v in versions}
    for entry in book.standing:
        if verdicts.get(entry.version) != "passed" and "forced" not in entry.reason:
            yield f"version {entry.version} has verdict {verdicts.get(entry.version)}"


def _twice(keys: Iterable[str]) -> Iterator[str]:
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
    return _twice(
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
        for place in (
            version.tags[mlflow_registry.TAG_EVALUATION],
            version.tags[mlflow_registry.TAG_EVIDENCE],
            identity_key(version.name, version.tags[mlflow_registry.TAG_KEY]),
        ):
            if store.head(place) is None:
                yield f"version {version.version}: {place} is gone"


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
    for key in store.list(f"predictions/{spec.model}/"):
        if key.endswith("/manifest.json"):
            content = json.loads(store.get(key))
            yield key, [ObjectRef.model_validate(content[k]) for k in ("examples", "predictions")]
    for key in store.list(f"examples/{spec.model}/windows/"):
        days = json.loads(store.get(key))["days"]
        yield key, [ObjectRef.model_validate(day["data"]) for day in days]


def _damaged(
    store: ObjectStore, versions: list[ModelVersion], book: ledger.Ledger
) -> Iterator[str]:
    champion = next(
        (v for v in versions if book.champion and str(v.version) == book.champion.version), None
    )
    if champion is None:
        return
    try:
        identity = load_identity(store, champion)
        manifest = json.loads(read(store, identity.examples.manifest))
        for day in manifest["days"]:
            read(store, ObjectRef.model_validate(day["data"]))
    except ArtefactError as error:
        yield str(error)


def main(arguments: list[str]) -> int:
    """Print every invariant of a model; return 0 if all hold, else 1."""
    from mlflow import MlflowClient
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(prog="python -m evergreen.operations.invariants")
    for name in ("model", "store", "mlflow"):
        parser.add_argument(f"--{name}", required=True)
    asked = parser.parse_args(arguments)
    client = MlflowClient(tracking_uri=asked.mlflow, registry_uri=asked.mlflow)
    checks = check_state(
        open_store(asked.store), client, load_spec(asked.model), now=datetime.now(UTC)
    )
    table = Table("invariant", "found", "verdict", title=f"State of {asked.model}")
    for check in checks:
        table.add_row(check.name, check.measured, check.status)
    Console().print(table)
    return int(any(check.status == "failed" for check in checks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
