"""Evaluate a registered version again, after another one was promoted while it waited."""

from __future__ import annotations

from evergreen.modeling.evaluation import evaluate_challenger
from evergreen.receipts.release import RegistrationReceipt
from evergreen.registry.version_record import load_identity
from evergreen.release.registration import register_model
from evergreen.workspace import Workspace


def reevaluate(
    workspace: Workspace,
    *,
    registration: RegistrationReceipt,
    tags: dict[str, str],
) -> RegistrationReceipt:
    """
    Compare the version's challenger with the present champion, and register that verdict.

    Everything it needs was kept when the version was registered.
    """
    version = workspace.client.get_model_version(workspace.spec.model, registration.version)
    made = load_identity(workspace.store, version)
    evaluation = evaluate_challenger(workspace, candidates=made.candidates, examples=made.examples)
    return register_model(
        workspace,
        evaluation=evaluation,
        validation=made.validation,
        examples=made.examples,
        drift=made.drift,
        stages=made.stages,
        tags=tags,
    )
