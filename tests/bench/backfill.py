"""
Backfill nights of the past through the real scheduler, against loops over the same nights.

Two loops, each in one warm process: the plain script's, and Evergreen's own stages without Airflow.

The newest night runs first and becomes champion; then the others are history and run side by side.
``NIGHTS`` (14) and ``LAST`` (2013-07-01) choose the range; ``PLAIN=no`` leaves the loops out;
``KEEP`` names a folder for a table and a plot: then five nights are reprocessed, and all of them
go through a backtest.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlflow import MlflowClient
from tests.bench.measure import Used, cpu_by_program, measured, measured_script, stack_cpu, stages
from tests.bench.night import show_stages
from tests.bench.page import Page
from tests.bench.project import bench_stack, land, store_of

from evergreen.registry import mlflow_registry
from evergreen.storage.folder import FolderStore
from evergreen_airflow.embedded import stack as embedded
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.runs import run_dag
from evergreen_airflow.embedded.settings import BACKFILL_SLOTS

MODEL, DAG = "night", "night__retrain"
#: The same model once more, for the loop: what is prepared is kept for each model alone.
LOOPED = "looped"
NIGHTS = int(os.environ.get("NIGHTS", "14"))
LAST = datetime.combine(
    date.fromisoformat(os.environ.get("LAST", "2013-07-01")), datetime.min.time(), UTC
) + timedelta(hours=6)  # the schedule's hour
REPROCESSED = 5


class Past:
    """A stack, and the nights that are made on it."""

    def __init__(self, settings, api: AirflowApi, page: Page) -> None:
        self.settings, self.api, self.page = settings, api, page
        self.store = FolderStore(settings.store)
        self.client = MlflowClient(settings.mlflow_url, settings.mlflow_url)

    def backfill(self, first: datetime, last: datetime, *options: str) -> None:
        """Replay the nights that live at *first* to *last*, and wait until they have ended."""
        day = timedelta(days=1)  # a scheduled run's logical date is the start of its interval
        command = [
            "backfill",
            "create",
            "--dag-id",
            DAG,
            "--max-active-runs",
            str(BACKFILL_SLOTS),
            "--from-date",
            (first - day).isoformat(),
            "--to-date",
            (last - day).isoformat(),
            *options,
        ]
        while any(
            not b["completed_at"] for b in self.api.get("/backfills", dag_id=DAG)["backfills"]
        ):
            time.sleep(1)
        assert embedded.airflow(self.settings, command) == 0
        done, started = 0, time.monotonic()
        while (left := self.unfinished()) or done == 0:
            done = 1
            self.page.progress(f"{left} nights to go, {time.monotonic() - started:.0f} s")
            time.sleep(5)

    def unfinished(self) -> int:
        left = 0
        for state in ("queued", "running"):
            found = self.api.get(f"/dags/{DAG}/dagRuns", state=state, limit=1)
            left += int(found["total_entries"])
        return left

    def failed(self) -> list[str]:
        found = self.api.get(f"/dags/{DAG}/dagRuns", state="failed", limit=100)["dag_runs"]
        return [run["dag_run_id"] for run in found]

    def backfilled(self) -> list[str]:
        found = self.api.get(f"/dags/{DAG}/dagRuns", run_type="backfill", limit=100)["dag_runs"]
        return [run["dag_run_id"] for run in found]

    def digests(self) -> dict[str, str]:
        """Return, by version and its ``as_of``, the digest of its artifact."""
        return {
            f"{v.version} as of {v.tags[mlflow_registry.TAG_AS_OF]}": v.tags[
                mlflow_registry.TAG_SHA256
            ]
            for v in mlflow_registry.all_versions(self.client, MODEL)
        }

    def reports(self) -> int:
        return sum(key.endswith(".html") for key in self.store.list(f"reports/{MODEL}/"))


def stages_loop(stack, nights: list[datetime]) -> Used:
    """Run Evergreen's own stages for every night without Airflow, in one warm process."""
    settings, script = stack.settings, Path(__file__).parent / "stages_script.py"
    days = [night.isoformat() for night in [nights[-1], *nights[:-1]]]
    return measured_script(
        stack, [str(script), str(settings.store), settings.mlflow_url, LOOPED, *days]
    )


def plain_loop(stack, nights: list[datetime]) -> Used:
    """Run the plain script for every night, in one warm process."""
    code = (
        "import sys, pathlib, datetime, plain_script\n"
        "for day in sys.argv[3:]:\n"
        "    plain_script.main(pathlib.Path(sys.argv[1]), sys.argv[2],"
        " datetime.date.fromisoformat(day))\n"
    )
    days = [f"{night:%Y-%m-%d}" for night in nights]
    settings = stack.settings
    return measured_script(
        stack, ["-c", code, str(settings.store / "raw"), settings.mlflow_url, *days]
    )


def backfill(page: Page) -> None:
    nights = [LAST - timedelta(days=n) for n in reversed(range(NIGHTS))]
    with bench_stack({MODEL: 1, LOOPED: 1}) as stack:
        first = nights[0].date() - timedelta(days=75)
        land(store_of(stack), first, LAST.date() + timedelta(days=1), scale=1)
        measure(stack, Past(stack.settings, stack.api, page), nights, page)


def measure(stack, past: Past, nights: list[datetime], page: Page) -> None:
    settings = past.settings
    newest = {"as_of": LAST.isoformat(), "reason": "the newest night first"}
    loops = {}
    if os.environ.get("PLAIN", "yes") == "yes":
        loops = {
            "the plain script in a loop": plain_loop(stack, nights),
            "Evergreen's stages in a loop, no Airflow": stages_loop(stack, nights),
        }

    def ours() -> None:
        run_dag(past.api, DAG, run_id="newest", conf=newest, console=page.console)
        past.backfill(nights[0], nights[-2])

    before_by = cpu_by_program(settings)
    cost = measured(ours, lambda: stack_cpu(settings))
    spent = {k: round(v - before_by.get(k, 0)) for k, v in cpu_by_program(settings).items()}
    assert past.failed() == []
    replayed = [s for run_id in past.backfilled() for s in stages(stack, DAG, run_id)]
    champion = past.client.get_model_version_by_alias(MODEL, "champion")
    lines = {
        "versions": len(past.digests()),
        "reports": past.reports(),
        "champion": f"version {champion.version} as of {champion.tags[mlflow_registry.TAG_AS_OF]}",
        "wall s": f"{cost.wall:.0f}",
        "CPU s": f"{cost.cpu:.0f}",
        "CPU s by program": ", ".join(f"{k} {v}" for k, v in spent.items() if v),
        **{
            way: f"wall {loop.wall:.0f} s, CPU {loop.cpu:.0f} s; the backfill took "
            f"{cost.wall / loop.wall:.2f} and {cost.cpu / loop.cpu:.2f} times that"
            for way, loop in loops.items()
        },
    }
    page.table(
        f"{len(nights)} nights, the newest first",
        ("what", "found"),
        [(what, str(value)) for what, value in lines.items()],
    )
    show_stages(page, "Its stages, medians", replayed)
    if folder := os.environ.get("KEEP"):
        look_back(past, nights, page, Path(folder))


def look_back(past: Past, nights: list[datetime], page: Page, folder: Path) -> None:
    """Reprocess five nights, which must change nothing, and keep a backtest of them all."""
    before = past.digests(), past.reports(), mlflow_registry.aliases_of(past.client, MODEL)
    past.backfill(nights[0], nights[REPROCESSED - 1], "--reprocess-behavior", "completed")
    after = past.digests(), past.reports(), mlflow_registry.aliases_of(past.client, MODEL)
    conf = {"first": f"{nights[0]:%Y-%m-%d}", "last": f"{nights[-1]:%Y-%m-%d}"}
    run_dag(past.api, f"{MODEL}__backtest", run_id="all", conf=conf, console=page.console)
    found = past.api.receipt(f"{MODEL}__backtest", "all", "backtest_champion")
    page.say(
        f"Unchanged by reprocessing {REPROCESSED}: {before == after}. Backtest: "
        + ", ".join(
            f"{name} {found[name]}" for name in ("nights", "promotions", "days", "rows", "pooled")
        )
    )
    for name in ("table", "plot"):
        key = found[name]["key"]
        (folder / f"backtest{Path(key).suffix}").write_bytes(past.store.get(key))


if __name__ == "__main__":
    backfill(Page())
