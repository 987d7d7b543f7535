"""
How long Airflow's pages of Evergreen take with two years of nightly history.

A real demo makes one night; its records are repeated, with their days and numbers changed, for the
nights before it. Then a real API server is asked, as a browser with a session would.
"""

from __future__ import annotations

import io
import json
import math
import os
import statistics
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.stack import running_stack

from evergreen.registry import ledger as ledger_store
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import DIGEST_KEY, canonical_json
from evergreen_airflow.embedded import demo
from evergreen_airflow.embedded.api import AirflowApi

NIGHTS = int(os.environ.get("NIGHTS", "730"))
MODEL = demo.MODEL
AS_OF = datetime(2013, 7, 1, tzinfo=UTC)
#: Days between two promotions, about what a year of the sample gives.
PROMOTED_EVERY = 7


def grow(store: FolderStore, nights: int) -> None:
    """Repeat what the demo's night left behind for the *nights* before it."""
    day = AS_OF.date()
    health = json.loads(store.get(f"monitoring/{MODEL}/{day}/health.json"))
    health.pop(DIGEST_KEY)  # the copies below are other content
    page = store.get(f"monitoring/{MODEL}/{day}/health.html")
    pack_key = next(k for k in store.list(f"evidence/{MODEL}/") if k.endswith("evidence.json"))
    pack = json.loads(store.get(pack_key))
    pack.pop(DIGEST_KEY)
    quality = health["report"]["results"]["quality"]
    for n in range(1, nights):
        then = day - timedelta(days=n)
        quality["windows"] = [
            window(then - timedelta(days=back), quality["metric"]) for back in range(28)
        ]
        record = health | {"day": str(then), "colour": "green", "reasons": []}
        store.put(f"monitoring/{MODEL}/{then}/health.json", canonical_json(record))
        store.put(f"monitoring/{MODEL}/{then}/health.html", page)
        older = pack | {"version": str(nights - n + 1), "as_of": f"{then}T00:00:00+00:00"}
        store.put(f"evidence/{MODEL}/night-{n}/against-none/evidence.json", canonical_json(older))
    for n in range(0, nights, PROMOTED_EVERY):
        ledger = ledger_store.read_ledger(store, MODEL)
        last = ledger.entries[-1]
        for step in ("intent", "outcome"):
            ledger = ledger_store.append(
                store,
                ledger,
                last.model_copy(
                    update={"step": step, "version": str(n + 2), "previous": last.version}
                ),
            )


def window(last: date, metric: str) -> dict:
    value = 0.68 + 0.03 * math.sin(last.toordinal() / 9)
    return {
        "first": str(last),
        "last": str(last),
        "rows": 900,
        "labelled": 880,
        "metrics": {metric: value},
        "estimated": {metric: value + 0.01},
    }


def main() -> None:
    quiet = Console(file=io.StringIO())
    with running_stack(is_quiet=False) as stack:
        demo.run_demo(stack.settings, password=stack.password, as_of=AS_OF, console=quiet)
        grow(FolderStore(stack.settings.store), NIGHTS)
        measure(stack.api, Console())


def measure(api: AirflowApi, console: Console) -> None:
    """Ask for each page, first with nothing read and then again and again."""
    runs = api.get(f"/dags/{MODEL}__retrain/dagRuns")["dag_runs"]
    run = runs[0]["dag_run_id"]
    retrain, monitor = f"{MODEL}__retrain", f"{MODEL}__monitor"
    day = api.get(f"/dags/{monitor}/dagRuns")["dag_runs"][0]["dag_run_id"]
    table = Table(title=f"Pages with {NIGHTS} nights of history, ms", title_justify="left")
    for name in ("page", "first", "median of 20", "slowest of 20", "kB"):
        table.add_column(name, justify="left" if name == "page" else "right")
    for what, path in (
        ("Models", "models"),
        ("one model", f"model/{retrain}"),
        ("evidence of a run", f"run/{retrain}/{run}"),
        ("health of a day", f"run/{monitor}/{day}"),
        ("drift report of a task", f"task/{retrain}/{run}/report_drift/-1"),
        ("charts' script", "static/plotly.min.js"),
    ):
        times = []
        for _ in range(21):
            started = time.perf_counter()
            answer = api.http.get(f"{api.url}/evergreen/{path}", follow_redirects=True)
            times.append(1000 * (time.perf_counter() - started))
            assert answer.status_code == 200, (path, answer.text[:300])
        rest = times[1:]
        table.add_row(
            what,
            f"{times[0]:.0f}",
            f"{statistics.median(rest):.0f}",
            f"{max(rest):.0f}",
            f"{len(answer.content) / 1000:.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
