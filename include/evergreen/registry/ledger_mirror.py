"""Show the ledger in MLflow, where people look; the object store keeps the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.registry import mlflow_registry
from evergreen.registry.ledger import Ledger, LedgerEntry

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG_NUMBER = "evergreen.ledger_entry"
TAG_MIRRORED = "evergreen.ledger_entries"


def mirror_ledger(client: MlflowClient, ledger: Ledger) -> None:
    """
    Write the entries of *ledger* that MLflow does not show yet, one run each.

    They lie in an experiment of their own, ``<model>.ledger``. Safe to repeat: an entry that is
    there is not written again, and what an earlier attempt left out is added.
    """
    if not ledger.entries:
        return
    experiment_id = mlflow_registry.ensure_experiment(
        client, f"{ledger.model}.ledger", tags={TAG_MIRRORED: "0"}
    )
    shown = int(client.get_experiment(experiment_id).tags.get(TAG_MIRRORED, "0"))
    for number, entry in list(enumerate(ledger.entries, start=1))[shown:]:
        if not client.search_runs([experiment_id], f"tags.`{TAG_NUMBER}` = '{number}'"):
            run = client.create_run(
                experiment_id, run_name=_headline(number, entry), tags=_tags(number, entry)
            )
            client.set_terminated(run.info.run_id)
    if len(ledger.entries) > shown:
        client.set_experiment_tag(experiment_id, TAG_MIRRORED, str(len(ledger.entries)))


def shown_entries(client: MlflowClient, model: str) -> int:
    """Return how many entries of the ledger of *model* MLflow shows."""
    found = client.get_experiment_by_name(f"{model}.ledger")
    return int(found.tags.get(TAG_MIRRORED, "0")) if found else 0


def _headline(number: int, entry: LedgerEntry) -> str:
    before = f" (was {entry.previous})" if entry.previous else ""
    return f"{number:04d} {entry.action} version {entry.version}{before}: {entry.step}"


def _tags(number: int, entry: LedgerEntry) -> dict[str, str]:
    values = entry.model_dump(mode="json", exclude_none=True)
    return {TAG_NUMBER: str(number), **{f"ledger.{k}": str(v)[:5000] for k, v in values.items()}}
