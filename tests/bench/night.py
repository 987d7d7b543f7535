"""
Measure nights through the real scheduler against the plain script, in turn, on this machine.

Three ways to do the night: the script; the script's own functions as seven tasks of the stack;
Evergreen's night with contract, gates, evidence, ledger and report. CPU is that of every process a
night causes: for the script itself and MLflow's server, for the others every process of the stack,
its idling included. Ratios, not seconds, are the result.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.history import MEASURED, after_a_year, show_years
from tests.bench.measure import Memory, Stage, Used, cpu_by_program, middle
from tests.bench.page import Page
from tests.bench.project import bench_stack, land, model_of, store_of
from tests.bench.ways import DAY, FIRST, Nights

NIGHTS = int(os.environ.get("NIGHTS", "4"))
SCALES = tuple(int(n) for n in os.environ.get("SCALES", "1,4,16").split(","))


def one_night(page: Page) -> None:
    with bench_stack({model_of(1): 1}) as stack:
        last = FIRST + (NIGHTS + MEASURED + 1) * DAY
        land(store_of(stack), (FIRST - 75 * DAY).date(), last.date(), scale=1)
        nights = Nights(stack, 1)
        rows, by_program = [], {}
        for n in range(NIGHTS):
            as_of = FIRST + n * DAY
            plain, seven = nights.plain(as_of), nights.seven_tasks(as_of)
            before = cpu_by_program(stack.settings)
            ours = nights.evergreen(as_of)
            after = cpu_by_program(stack.settings)
            by_program = {k: after[k] - before[k] for k in after}
            rows.append((as_of, plain, seven, ours))
            page.progress(
                f"{as_of:%Y-%m-%d}: plain {plain.cpu:.1f} CPU s, seven tasks "
                f"{seven.cpu:.1f}, Evergreen {ours.cpu:.1f}"
            )
        found = [s for as_of, *_ in rows[1:] for s in nights.stages(as_of)]
        extra = FIRST + NIGHTS * DAY  # looked at from outside, so not among those that are timed
        with Memory(stack.settings) as memory:
            nights.evergreen(extra)
        later = [extra + n * DAY for n in range(1, MEASURED + 1)]
        years = after_a_year(nights, [(as_of, ours) for as_of, *_, ours in rows[1:]], later)
    show_nights(page, rows)
    show_stages(page, "Evergreen's later nights, medians", found)
    programs = [(name, f"{cpu:.1f}") for name, cpu in by_program.items()]
    page.table("Where the CPU seconds of the last one went", ("program", "CPU s"), programs)
    page.say(
        f"A task's process sees at most {memory.all / 1e6:.0f} MB; {memory.own / 1e6:.0f} MB "
        "of it are its own, the rest is its parent's."
    )
    show_years(page, years)


def show_nights(page: Page, rows: list[tuple[datetime, Used, Used, Used]]) -> None:
    later = rows[1:] or rows
    middles = [
        Used(cpu=middle([row[n].cpu for row in later]), wall=middle([row[n].wall for row in later]))
        for n in (1, 2, 3)
    ]
    ways = ("plain script", "its job as seven tasks", "Evergreen: gates, evidence, report")
    shown = []
    for name, used in (("the first", rows[0][1:]), (f"median of {len(later)} later", middles)):
        for way, one in zip(ways, used, strict=True):
            shown.append(
                (
                    name,
                    way,
                    f"{one.cpu:.1f}",
                    f"{one.cpu / used[0].cpu:.2f}",
                    f"{one.wall:.1f}",
                    f"{one.wall / used[0].wall:.2f}",
                )
            )
    page.table("One night", ("night", "way", "CPU s", "x plain", "wall s", "x plain"), shown)


def show_stages(page: Page, title: str, found: list[Stage]) -> None:
    shown = []
    for name in dict.fromkeys(stage.name for stage in found):
        same = [stage for stage in found if stage.name == name]
        shown.append(
            (
                name,
                *(f"{middle([getattr(s, k) for s in same]):.2f}" for k in ("cpu", "body")),
                f"{max(s.peak for s in same):.0f}",
                f"{middle([s.overhead for s in same]):.2f}",
            )
        )
    shown.append(("all tasks", "", "", "", f"{middle([s.overhead for s in found]):.2f}"))
    columns = ("stage", "CPU s", "s", "MB at most", "s of overhead")
    page.table(title, columns, shown)


def growth(page: Page) -> None:
    """At each scale a first night, which prepares every day, and the one after it."""
    used: dict[str, dict[int, tuple[Used, Used]]] = {"first": {}, "second": {}}
    with bench_stack({model_of(scale): scale for scale in SCALES}) as stack:
        for scale in SCALES:
            land(store_of(stack), (FIRST - 75 * DAY).date(), (FIRST + 2 * DAY).date(), scale=scale)
            nights = Nights(stack, scale)
            for which, as_of in (("first", FIRST), ("second", FIRST + DAY)):
                both = used[which][scale] = nights.plain(as_of), nights.evergreen(as_of)
                page.progress(
                    f"x{scale}, {which}: plain {both[0].cpu:.0f} CPU s, Evergreen {both[1].cpu:.0f}"
                )
        found = [(s.name, f"{s.cpu:.2f}", f"{s.peak:.0f}") for s in nights.stages(as_of)]
    shown = []
    for which, scales in used.items():
        for scale, both in scales.items():
            start = scales[SCALES[0]]
            shown.append(
                (
                    f"x{scale}, {which}",
                    *(f"{one.cpu:.1f}" for one in both),
                    *(f"{one.peak / 1e6:.0f}" for one in both),
                    *(f"{one.cpu / was.cpu:.2f}" for one, was in zip(both, start, strict=True)),
                    *(f"{one.peak / was.peak:.2f}" for one, was in zip(both, start, strict=True)),
                )
            )
    columns = (
        "rows, night",
        "plain CPU s",
        "ours",
        "plain MB",
        "ours",
        "CPU, x its own x1: plain",
        "ours",
        "MB, x its own x1: plain",
        "ours",
    )
    page.table("Growth with the rows", columns, shown)
    page.table(f"The second night at x{scale}", ("stage", "CPU s", "MB at most"), found)


if __name__ == "__main__":
    one_night(Page())
