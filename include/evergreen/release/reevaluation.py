"""Judge a registered version anew, after another one was promoted while it waited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.modeling.evaluation import evaluate_challenger
from evergreen.receipts.release import RegistrationReceipt
from evergreen.registry.version_record import load_identity
from evergreen.release.registration import register_model
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def reevaluate(
    store: ObjectStore,
    client: MlflowClient,
    spec: ModelSpec,
    *,
    registration: RegistrationReceipt,
    tags: dict[str, str],
) -> RegistrationReceipt:
    """
    Hold the version's challenger against the present champion, and register that verdict.

    Everything it needs was kept when the version was registered.
    """
    made = load_identity(store, client.get_model_version(spec.model, registration.version))
    evaluation = evaluate_challenger(
        Workspace(store, client, spec), candidates=made.candidates, examples=made.examples
    )
    return register_model(
        Workspace(store, client, spec),
        evaluation=evaluation,
        validation=made.validation,
        examples=made.examples,
        drift=made.drift,
        tags=tags,
    )
