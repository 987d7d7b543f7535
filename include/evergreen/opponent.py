"""The version a challenger has to beat, and whose parameters its search begins with."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen import ledger, registry
from evergreen.errors import ArtefactError
from evergreen.spec import ModelSpec
from evergreen.storage import ObjectStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def find_opponent(
    store: ObjectStore, client: MlflowClient, spec: ModelSpec, *, as_of: datetime
) -> ModelVersion | None:
    """
    Return the version that a challenger which knows the world up to *as_of* has to beat.

    The present champion, or, for a run of the past, the champion of its day; both by the ledger.

    :return: None if there was no champion yet.
    :raises ArtefactError: If MLflow does not have that version any more.
    """
    book = ledger.read(store, spec.model)
    is_history = book.horizon is not None and as_of < book.horizon
    reign = book.champion_at(as_of) if is_history else book.champion
    if reign is None:
        return None
    found = registry.find_version(client, spec.model, reign.version)
    if found is None:
        raise ArtefactError(
            f"The ledger says that version {reign.version} of {spec.model} was champion at "
            f"{as_of:%Y-%m-%d %H:%M}, but MLflow has it no more, so nothing can be compared with "
            "it. Nothing was judged. Restore it, or roll back to a version that is there."
        )
    return found
