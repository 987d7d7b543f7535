"""The version a challenger has to beat, and whose parameters its search begins with."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from evergreen.data.window import start_of
from evergreen.errors import ArtefactError, NoChampionError
from evergreen.registry import ledger, mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore

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
    found = mlflow_registry.find_version(client, spec.model, reign.version)
    if found is None:
        raise ArtefactError(
            f"The ledger says that version {reign.version} of {spec.model} was champion at "
            f"{as_of:%Y-%m-%d %H:%M}, but MLflow has it no more, so nothing can be compared with "
            "it. Nothing was judged. Restore it, or roll back to a version that is there."
        )
    return found


def scorer_of(book: ledger.Ledger, day: date, *, as_of: datetime) -> ledger.Entry:
    """
    Return the champion that scores *day* for a run at *as_of*: the newest to learn nothing of it.

    :raises NoChampionError: If there was none yet.
    """
    entry = book.scorer_of(start_of(day), as_of=as_of)
    if entry is not None:
        return entry
    first = min((e.as_of for e in book.outcomes), default=None)
    known = (
        f"The first champion knows the world up to {first:%Y-%m-%d %H:%M} UTC"
        if first
        else ("No version was ever promoted")
    )
    raise NoChampionError(
        f"Nothing of {book.model!r} may score {day}: {known}, and a model from the day's future "
        f"is never used. Run {book.model}__retrain with as_of {day} or earlier."
    )
