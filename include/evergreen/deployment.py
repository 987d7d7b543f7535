"""
Move the champion alias. Nothing else in this project does.

Each move is written to the ledger before (intent) and after (outcome), so a crash in between
leaves a trace, and the next attempt finishes what was begun.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from evergreen import ledger, registry
from evergreen.artefacts import load_example, load_model
from evergreen.errors import ArtefactError
from evergreen.receipts import DeploymentReceipt, RegistrationReceipt
from evergreen.spec import ModelSpec
from evergreen.storage import ObjectStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)


def deploy_model(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    *,
    registration: RegistrationReceipt,
    actor: str,
    now: datetime,
    dry_run: bool = False,
) -> DeploymentReceipt:
    """
    Make the registered version champion if it passed its gates and is not older than the champion.

    Safe to repeat: a version that serves already is left alone, and only a missing ledger outcome
    is written. A version that may not serve is a normal answer, not an error.

    :param actor: Who asks for it, for the ledger: an Airflow run or a person.
    :param now: The instant written into the ledger.
    :raises ArtefactError: If the version's artefact cannot be loaded or does not predict.
    """
    version = client.get_model_version(spec.model, registration.version)
    champion = registry.champion_of(client, spec.model)
    _report_hand_moved(store, champion, model=spec.model)
    refusal = _refusal(registration, champion, dry_run=dry_run)
    if refusal is None:
        probe(client, spec, version)
        _promote(store, client, spec, version=version, champion=champion, actor=actor, now=now)
    serving = version if refusal is None else champion
    is_there = champion is not None and champion.version == version.version
    return DeploymentReceipt(
        model=spec.model,
        as_of=registration.as_of,
        version=version.version,
        champion_version=serving.version if serving else None,
        moved=refusal is None and not is_there,
        reason=refusal or ("it serves already" if is_there else "it passed every gate"),
    )


def probe(client: MlflowClient, spec: ModelSpec, version: ModelVersion) -> None:
    """
    Load *version* as a server would and score the example that was stored with it.

    :raises ArtefactError: If it cannot be loaded, or its scores are not probabilities.
    """
    model_id = registry.tag(version, registry.TAG_MODEL_ID)
    model = load_model(
        client,
        model_id,
        sha256=registry.tag(version, registry.TAG_SHA256),
        trusted=spec.trusted_types,
    )
    scores = model.predict_proba(load_example(client, model_id, spec=spec.examples))[:, 1]
    if not ((scores >= 0) & (scores <= 1)).all():  # NaN compares false, and is refused
        raise ArtefactError(
            f"{spec.model} version {version.version} scored its own example as {scores.tolist()}, "
            "expected probabilities. It was not promoted; the champion stays. Retrain it."
        )


def _refusal(
    registration: RegistrationReceipt, champion: ModelVersion | None, *, dry_run: bool
) -> str | None:
    """Return why the version must not serve, or None if it may."""
    if not registration.passed:
        return "it missed a gate, the champion stays"
    if dry_run:
        return "dry run, the alias was not touched"
    if champion is not None and champion.version != registration.version:
        newer = datetime.fromisoformat(registry.tag(champion, registry.TAG_AS_OF))
        if registration.as_of < newer:
            return f"it is history: the champion knows the world up to {newer:%Y-%m-%d %H:%M}"
        if champion.version != registration.judged_against:
            return (
                f"it was judged against version {registration.judged_against}, but version "
                f"{champion.version} serves now; clear evaluate_challenger to judge it again"
            )
    return None


def _promote(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    *,
    version: ModelVersion,
    champion: ModelVersion | None,
    actor: str,
    now: datetime,
) -> None:
    last = ledger.last(store, spec.model)
    serves = champion is not None and champion.version == version.version
    if serves and last is not None and last.step == "outcome" and last.version == version.version:
        return
    previous = champion.version if champion and not serves else (last.previous if last else None)
    entry = ledger.Entry(
        step="intent",
        action="promote",
        model=spec.model,
        version=version.version,
        previous=previous,
        as_of=datetime.fromisoformat(registry.tag(version, registry.TAG_AS_OF)),
        artefact_sha256=registry.tag(version, registry.TAG_SHA256),
        actor=actor,
        reason=version.description or "",
        recorded_at=now,
    )
    if not serves:
        ledger.append(store, entry)
        client.set_registered_model_alias(spec.model, registry.CHAMPION, version.version)
    ledger.append(store, entry.model_copy(update={"step": "outcome"}))


def _report_hand_moved(store: ObjectStore, champion: ModelVersion | None, *, model: str) -> None:
    """Say so if the alias is not where the ledger last put it."""
    last = ledger.last(store, model)
    expected = last.version if last else None
    found = champion.version if champion else None
    if found not in (expected, last.previous if last and last.step == "intent" else expected):
        log.warning(
            "The champion alias of %s was moved by hand: it is at version %s, the ledger says %s. "
            "Gates and ledger know nothing of that move, and scoring ignores it. Move it back.",
            model,
            found,
            expected,
        )
