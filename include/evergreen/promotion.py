"""
Bring a version to another environment: dev, staging, prod, each a store and a registry.

The bytes that were judged are the bytes that go: artefact, evidence, identity and the days it
learnt from are copied under the digests they have. There it takes the way of any version: gates,
ledger, shadow and canary where the spec asks for them.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from evergreen import ledger, registry
from evergreen.artefacts import ARTEFACT
from evergreen.deployment import deploy_model, observe
from evergreen.errors import ArtefactError, PromotionError
from evergreen.evidence import DATA, PAGE
from evergreen.identity import identity_key, load_identity
from evergreen.mirror import mirror_ledger
from evergreen.probing import probe
from evergreen.receipts import (
    ApprovalReceipt,
    DeploymentReceipt,
    ObjectRef,
    PromotionReceipt,
    RegistrationReceipt,
)
from evergreen.registration import EVIDENCE
from evergreen.spec import ModelSpec
from evergreen.storage import ObjectStore, read, sha256_of
from evergreen.targets import Waiting

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: On a version that came from elsewhere: the store and version it was.
TAG_FROM = "evergreen.promoted_from"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where versions live and serve."""

    name: str
    store: ObjectStore
    client: MlflowClient


def promote_version(
    here: Environment,
    there: Environment,
    spec: ModelSpec,
    *,
    version: str | None,
    actor: str,
    reason: str,
    now: datetime,
    dry_run: bool,
    force: bool,
) -> PromotionReceipt | Waiting:
    """
    Copy *version* with all that speaks for it from *here* to *there*, and deploy it there.

    Safe to repeat: what is there already is found by its key, and both ledgers name the move once.
    Where the version must prove itself first, this says what it waits for and is called again. With
    *dry_run* everything is checked and nothing written.

    :param version: The one to promote; None takes the champion here.
    :param force: Allow a version that never served here, or was rolled back; never one that missed
        a gate.
    :raises PromotionError: If there is no such version, it may not go, or the champion there
        changed meanwhile.
    :raises ArtefactError: If its artefact, evidence or data is damaged here, or arrives damaged.
    """
    if here.store.uri == there.store.uri:
        raise PromotionError(
            f"{here.name} and {there.name} are one store, {here.store.uri}. Nothing was copied. "
            "Let the connections of the two environments name two places."
        )
    found = _allowed(here, spec.model, version=version, force=force, now=now)
    probe(here.client, spec, found)
    receipt = PromotionReceipt(
        model=spec.model, as_of=_as_of(found), version=str(found.version), to=there.name,
        there=None, deployment=None,
    )  # fmt: skip
    if dry_run:
        return receipt
    _copy_objects(here, there, found)
    words = f"promoted from version {found.version} of {here.name}"
    arrived = _register(here, there, spec, found, words=words)
    probe(there.client, spec, arrived)
    _write_down(here, there, found, arrived, actor=actor, reason=reason, now=now)
    deployment = _deploy(there, spec, arrived, actor=actor, reason=reason, now=now)
    if isinstance(deployment, Waiting):
        return deployment
    return receipt.model_copy(update={"there": str(arrived.version), "deployment": deployment})


def _allowed(
    here: Environment, model: str, *, version: str | None, force: bool, now: datetime
) -> ModelVersion:
    """Return the version that was asked for, if it may go."""
    book = observe(here.store, here.client, model, now=now).ledger
    if version is None:
        if book.champion is None:
            raise PromotionError(
                f"{model} has no champion in {here.name}. Nothing was copied. Run retrain first, "
                "or name a version."
            )
        version = book.champion.version
    found = registry.find_version(here.client, model, version)
    if found is None:
        raise PromotionError(f"{model} has no version {version} in {here.name}. Name another.")
    if found.tags.get(registry.TAG_PASSED) != "passed":
        raise PromotionError(
            f"Version {version} of {model} missed a gate in {here.name}: {found.description}. "
            "Nothing was copied, and force does not change that."
        )
    registry.tag(found, registry.TAG_EVIDENCE)  # nothing goes without its evidence
    doubt = None
    if not book.has_served(version):
        doubt = f"never served in {here.name}"
    elif book.is_withdrawn(version):
        doubt = f"was rolled back in {here.name}"
    if doubt and not force:
        raise PromotionError(
            f"Version {version} of {model} {doubt}. Nothing was copied. Name a version that "
            "serves, or say force."
        )
    return found


def _copy_objects(here: Environment, there: Environment, version: ModelVersion) -> None:
    """Copy what the version's evidence and identity name; data first, what names it last."""
    identity = load_identity(here.store, version)
    manifest = identity.examples.manifest
    days = json.loads(read(here.store, manifest))["days"]
    refs = [ObjectRef.model_validate(day["data"]) for day in days]
    for number, ref in enumerate([*refs, manifest], start=1):
        if there.store.head(ref.key) is None:
            there.store.put_if_absent(ref.key, read(here.store, ref))
        if number % 20 == 0:
            log.info("copied %d of %d objects", number, len(refs) + 1)
    folder = registry.tag(version, registry.TAG_EVIDENCE).rpartition("/")[0]
    keys = [
        registry.tag(version, registry.TAG_EVALUATION), f"{folder}/{DATA}", f"{folder}/{PAGE}",
        identity_key(version.name, registry.tag(version, registry.TAG_KEY)),
    ]  # fmt: skip
    for key in keys:
        data = _kept(here, key)
        if not there.store.put_if_absent(key, data) and there.store.get(key) != data:
            raise ArtefactError(
                f"{key} differs between {here.store.uri} and {there.store.uri}. Nothing was "
                "overwritten. One of the two was changed; compare them, and remove the wrong one."
            )


def _kept(here: Environment, key: str) -> bytes:
    try:
        return here.store.get(key)
    except FileNotFoundError:
        raise ArtefactError(
            f"{key} is gone from {here.store.uri}. Nothing goes without its evidence: restore it "
            "from a backup, or promote another version."
        ) from None


def _register(
    here: Environment, there: Environment, spec: ModelSpec, version: ModelVersion, *, words: str
) -> ModelVersion:
    """Return the version *there*, with the same key, tags and bytes, made if it is not there."""
    key = registry.tag(version, registry.TAG_KEY)
    registry.ensure_registered_model(there.client, spec.model, description=spec.description)
    found = registry.versions_of(there.client, spec.model, key)
    if not found:
        run = _run(here, there, spec, version)
        model_id = run.data.tags[registry.TAG_MODEL_ID]
        there.client.create_model_version(
            spec.model,
            source=f"models:/{model_id}",
            run_id=run.info.run_id,
            model_id=model_id,
            tags=version.tags
            | {
                registry.TAG_MODEL_ID: model_id,
                TAG_FROM: f"{here.store.uri} version {version.version}",
            },
            description=f"{version.description}; {words}",
            await_creation_for=0,
        )
        found = registry.versions_of(there.client, spec.model, key)
    return found[0]


def _run(here: Environment, there: Environment, spec: ModelSpec, version: ModelVersion) -> Run:
    """Return the run *there* that holds the artefact, made or finished if need be."""
    from mlflow.entities import Metric, Param

    key = registry.tag(version, registry.TAG_KEY)
    experiment = registry.ensure_experiment(there.client, spec.model)
    earlier = registry.runs_of(there.client, experiment, key)
    if whole := [run for run in earlier if registry.is_whole(run)]:
        return whole[0]
    made = here.client.get_run(str(version.run_id))
    tags = {k: v for k, v in made.data.tags.items() if not k.startswith("mlflow.")}
    tags.pop(registry.TAG_MODEL_ID, None)  # what makes a run whole comes last
    run = earlier[0] if earlier else there.client.create_run(
        experiment, run_name=made.info.run_name, tags=tags | {registry.TAG_KEY: key}
    )  # fmt: skip
    there.client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, 0, 0) for name, value in made.data.metrics.items()],
        params=[Param(name, value) for name, value in made.data.params.items()],
    )
    evidence = registry.tag(version, registry.TAG_EVIDENCE)
    for name in (DATA, PAGE):
        text = here.store.get(f"{evidence.rpartition('/')[0]}/{name}").decode()
        there.client.log_text(run.info.run_id, text, f"{EVIDENCE}/{name}")
    with tempfile.TemporaryDirectory() as folder:
        model = _downloaded(here, version, Path(folder))
        registry.log_model_folder(
            there.client, run, model, name=registry.tag(version, registry.TAG_CANDIDATE), tags={}
        )
    return there.client.get_run(run.info.run_id)


def _downloaded(here: Environment, version: ModelVersion, folder: Path) -> Path:
    """Bring the whole logged model into *folder*; its artefact is the one that was judged."""
    from mlflow.artifacts import download_artifacts

    logged = here.client.get_logged_model(registry.tag(version, registry.TAG_MODEL_ID))
    found = Path(
        download_artifacts(
            artifact_uri=logged.artifact_location,
            dst_path=str(folder),
            tracking_uri=here.client.tracking_uri,
        )
    )
    sha256, expected = sha256_of((found / ARTEFACT).read_bytes()), registry.tag(
        version, registry.TAG_SHA256
    )  # fmt: skip
    if sha256 != expected:
        raise ArtefactError(
            f"The artefact of version {version.version} in {here.name} has sha256 {sha256[:12]}, "
            f"expected {expected[:12]}. It was not copied. Restore it from a backup."
        )
    return found


def _write_down(
    here: Environment,
    there: Environment,
    version: ModelVersion,
    arrived: ModelVersion,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Say in the ledger here where the version went; there, its deploy says where it came from."""
    as_of = _as_of(version)
    entry = ledger.Entry(
        step="sent", action="promote", model=version.name, version=str(version.version),
        previous=None, as_of=as_of, serves_from=as_of,
        artefact_sha256=registry.tag(version, registry.TAG_SHA256), actor=actor,
        reason=f"to {there.name} as version {arrived.version}: {reason}", recorded_at=now,
    )  # fmt: skip
    mirror_ledger(here.client, ledger.append_once(here.store, entry))


def _deploy(
    there: Environment,
    spec: ModelSpec,
    arrived: ModelVersion,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> DeploymentReceipt | Waiting:
    """Let the version take the way of any other; who promotes it is the person who is asked."""
    champion = observe(there.store, there.client, spec.model, now=now).ledger.champion
    against = champion.version if champion else None
    version, as_of = str(arrived.version), _as_of(arrived)

    def judge_again() -> NoReturn:
        raise PromotionError(
            f"Another version of {spec.model} was promoted in {there.name} meanwhile. Version "
            f"{version} is registered there and does not serve. Look at both, then run this again."
        )

    return deploy_model(
        there.store, there.client, spec,
        registration=RegistrationReceipt(
            model=spec.model, as_of=as_of, version=version,
            key=registry.tag(arrived, registry.TAG_KEY), created=True, passed=True,
            judged_against=against, evidence=registry.tag(arrived, registry.TAG_EVIDENCE),
            run_id=str(arrived.run_id),
            experiment_id=registry.ensure_experiment(there.client, spec.model),
        ),
        approval=ApprovalReceipt(
            model=spec.model, as_of=as_of, version=version, judged_against=against, asked=True,
            approved=True, actor=actor, words=reason,
        ),
        judge_again=judge_again, actor=actor, now=now,
    )  # fmt: skip


def _as_of(version: ModelVersion) -> datetime:
    return datetime.fromisoformat(registry.tag(version, registry.TAG_AS_OF))
