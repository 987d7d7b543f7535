"""The version a challenger has to beat, and whose parameters its search begins with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from evergreen.data.window import start_of
from evergreen.errors import NoChampionError
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class VersionToBeat:
    """
    The champion that a challenger is compared with.

    ``registered`` is None if MLflow no longer has the version: then nothing can be compared with
    it, and ``gates.champion.when_unusable`` decides.
    """

    version: str
    registered: ModelVersion | None

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the version; none if MLflow no longer has it."""
        return dict(self.registered.tags) if self.registered else {}


def find_version_to_beat(workspace: Workspace, *, as_of: datetime) -> VersionToBeat | None:
    """
    Return the version that a challenger which knows the world up to *as_of* has to beat.

    The present champion, or, for a run of the past, the champion of its day; both by the ledger.

    :return: None if there was no champion yet.
    """
    ledger = ledger_store.read_ledger(workspace.store, workspace.spec.model)
    is_history = ledger.latest_as_of is not None and as_of < ledger.latest_as_of
    champion_entry = ledger.champion_at(as_of) if is_history else ledger.champion
    if champion_entry is None:
        return None
    found = mlflow_registry.find_version(
        workspace.client, workspace.spec.model, champion_entry.version
    )
    return VersionToBeat(version=champion_entry.version, registered=found)


def scorer_of(
    ledger: ledger_store.Ledger, day: date, *, as_of: datetime
) -> ledger_store.LedgerEntry:
    """
    Return the champion that scores *day* for a run at *as_of*: the newest to learn nothing of it.

    :raises NoChampionError: If there was none yet.
    """
    entry = ledger.scorer_of(start_of(day), as_of=as_of)
    if entry is not None:
        return entry
    first = min((e.as_of for e in ledger.outcomes), default=None)
    known = (
        f"The first champion knows the world up to {first:%Y-%m-%d %H:%M} UTC"
        if first
        else ("No version was ever promoted")
    )
    raise NoChampionError(
        f"Nothing of {ledger.model!r} may score {day}: {known}, and a model from the day's future "
        f"is never used. Run {ledger.model}__retrain with as_of {day} or earlier."
    )
