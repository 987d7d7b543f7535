"""
A night with a year of nights behind it, against the first few.

Real nights; between them the registry, the experiment and the ledger are filled with what a year of
nights leaves there, each of which was champion.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from mlflow import MlflowClient
from tests.bench.measure import Stage, Used, middle
from tests.bench.page import Page
from tests.bench.project import store_of
from tests.bench.ways import FIRST, Nights

from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.ledger_mirror import mirror_ledger
from evergreen.storage.base import ObjectStore

#: Nights that are put behind the measured ones, and how many are measured after them.
BEHIND = int(os.environ.get("BEHIND", "365"))
MEASURED = 3


def after_a_year(
    nights: Nights, before: Sequence[tuple[datetime, Used]], later: Sequence[datetime]
) -> list[tuple[str, ...]]:
    """Leave a year behind the nights that were measured, do the *later* ones, and compare."""
    url = nights.settings.mlflow_url
    fill(store_of(nights.stack), MlflowClient(url, url), nights.model)
    after = [(as_of, nights.evergreen(as_of)) for as_of in later]
    return [
        row(name, [used for _, used in some], [nights.stages(as_of) for as_of, _ in some])
        for name, some in (("those above", before), (f"after {BEHIND} more", after))
    ]


def show_years(page: Page, rows: list[tuple[str, ...]]) -> None:
    columns = ("nights, medians", "CPU s", "wall s", "CPU s of its stages", "MB read")
    page.table("A night after a year of nights", columns, rows)


def fill(store: ObjectStore, client: MlflowClient, model: str) -> None:
    """Leave behind what *BEHIND* nights do: a run and a version each, which served in its turn."""
    champion = mlflow_registry.champion_of(client, model)
    experiment = mlflow_registry.ensure_experiment(client, model)
    ledger = ledger_store.read_ledger(store, model)
    last = ledger.entries[-1]
    for n in range(BEHIND):
        then = (FIRST - timedelta(days=n)).isoformat()
        tags = {mlflow_registry.TAG_KEY: f"behind-{n}", mlflow_registry.TAG_AS_OF: then}
        run = client.create_run(experiment, tags=tags)
        client.set_terminated(run.info.run_id)
        made = client.create_model_version(
            model,
            source=champion.source,
            run_id=champion.run_id,
            await_creation_for=0,
            model_id=champion.tags[mlflow_registry.TAG_MODEL_ID],
            tags=champion.tags | tags,
        )
        for version in (made.version, champion.version):  # the real one is back at once
            for step in ("intent", "outcome"):
                entry = last.model_copy(update={"step": step, "version": str(version)})
                ledger = ledger_store.append(store, ledger, entry)
    mirror_ledger(client, ledger)


def row(name: str, used: list[Used], stages: list[list[Stage]]) -> tuple[str, ...]:
    return (
        name,
        f"{middle([one.cpu for one in used]):.1f}",
        f"{middle([one.wall for one in used]):.1f}",
        f"{middle([sum(s.cpu for s in night) for night in stages]):.1f}",
        f"{middle([sum(s.read for s in night) for night in stages]):.1f}",
    )
