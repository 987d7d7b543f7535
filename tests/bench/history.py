"""
A night with a year of nights behind it, against the second one.

Real nights; between them the registry, the experiment and the ledger are filled with what a year of
nights leaves there, each of which was champion.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlflow import MlflowClient
from tests.bench.measure import Stage, Used, middle
from tests.bench.night import DAY, FIRST, Nights
from tests.bench.page import Page
from tests.bench.project import bench_stack, land, model_of, store_of

from evergreen import ledger, registry
from evergreen.mirror import mirror_ledger
from evergreen.storage import ObjectStore

#: Nights that lie behind the measured ones, and how many are measured before and after.
BEHIND = int(os.environ.get("BEHIND", "365"))
MEASURED = 3


def history(page: Page) -> None:
    with bench_stack({model_of(1): 1}) as stack:
        land(store_of(stack), (FIRST - 75 * DAY).date(), (FIRST + 9 * DAY).date(), scale=1)
        nights = Nights(stack, 1)
        all_nights = [FIRST + n * DAY for n in range(1 + 2 * MEASURED)]
        few, many = all_nights[1 : 1 + MEASURED], all_nights[1 + MEASURED :]
        nights.evergreen(FIRST)
        before = [nights.evergreen(as_of) for as_of in few]
        url = stack.settings.mlflow_url
        fill(store_of(stack), MlflowClient(url, url), nights.model)
        after = [nights.evergreen(as_of) for as_of in many]
        shown = [
            row("the second to the fourth", before, [nights.stages(as_of) for as_of in few]),
            row(f"after {BEHIND} more", after, [nights.stages(as_of) for as_of in many]),
        ]
    columns = ("nights, medians", "CPU s", "wall s", "CPU s of its stages", "MB read")
    page.table("A night after a year of nights", columns, shown)


def fill(store: ObjectStore, client: MlflowClient, model: str) -> None:
    """Leave behind what *BEHIND* nights do: a run and a version each, which served in its turn."""
    champion = registry.champion_of(client, model)
    experiment = registry.ensure_experiment(client, model)
    book = ledger.read(store, model)
    last = book.entries[-1]
    for n in range(BEHIND):
        then = (FIRST - timedelta(days=n)).isoformat()
        tags = {registry.TAG_KEY: f"behind-{n}", registry.TAG_AS_OF: then}
        run = client.create_run(experiment, tags=tags)
        client.set_terminated(run.info.run_id)
        made = client.create_model_version(
            model, source=champion.source, run_id=champion.run_id, await_creation_for=0,
            model_id=champion.tags[registry.TAG_MODEL_ID], tags=champion.tags | tags,
        )  # fmt: skip
        for version in (made.version, champion.version):  # the real one is back at once
            for step in ("intent", "outcome"):
                entry = last.model_copy(update={"step": step, "version": str(version)})
                book = ledger.append(store, book, entry)
    mirror_ledger(client, book)


def row(name: str, used: list[Used], stages: list[list[Stage]]) -> tuple[str, ...]:
    return (
        name,
        f"{middle([one.cpu for one in used]):.1f}",
        f"{middle([one.wall for one in used]):.1f}",
        f"{middle([sum(s.cpu for s in night) for night in stages]):.1f}",
        f"{middle([sum(s.read for s in night) for night in stages]):.1f}",
    )


if __name__ == "__main__":
    history(Page())
