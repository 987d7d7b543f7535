"""
Monitor the flights of 2013 day by day, and draw what a person would have seen.

Every stage as the DAGs run it, without the scheduler: retrain on Mondays and whenever
monitor asks for it, score and monitor every day, labels arriving as planes land. Ends in
docs/pictures/monitored_year.png and a table beside it in the store. `make bench-monitor`.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evergreen.data.window import training_window
from evergreen.monitoring.health import Report
from evergreen.receipts.monitoring import HealthReceipt
from evergreen.spec import load_spec
from evergreen.spec.modeling import CandidateSpec
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

#: What happened in and around New York in 2013, for the eye.
EVENTS = {
    "2013-05-25": "Memorial Day weekend",
    "2013-07-04": "Independence Day",
    "2013-08-31": "Labor Day weekend",
    "2013-11-03": "clocks go back",
    "2013-11-28": "Thanksgiving",
    "2013-12-25": "Christmas",
}
COLOURS = {"green": "#1b7f4b", "amber": "#e0a030", "red": "#b3261e", "unknown": "#9aa1ab"}
KINDS = ("drift", "schema", "quality", "labels", "estimate", "staleness")


def main() -> None:
    """Run the year and draw it."""
    from mlflow import MlflowClient
    from tests.conftest import mlflow_server
    from tests.support.monitored import monitor_day
    from tests.support.night import Night

    from models.flight_delay import feed

    last = datetime(2013, 12, 31, 6, tzinfo=UTC)  # of the last day the package has no weather
    with tempfile.TemporaryDirectory() as home, mlflow_server(Path(home) / "mlflow") as url:
        store, client = FolderStore(Path(home) / "store"), MlflowClient(url, url)
        spec = load_spec("flight_delay")
        offline = spec.deployment.model_copy(update={"target": "batch"})
        spec = spec.model_copy(
            update={"candidates": {"blend": CandidateSpec()}, "deployment": offline}
        )
        start = feed.FIRST_DAY + timedelta(days=1)
        days = [start + timedelta(days=n) for n in range((feed.LAST_DAY - start).days + 1)]
        feed.land_days(store, [feed.FIRST_DAY, *days], replace=frozenset())
        first = datetime(2013, 1, 1, 6, tzinfo=UTC)
        while training_window(first, spec.window).days.first < start:
            first += timedelta(days=1)
        seen: list[tuple[HealthReceipt, Report]] = []
        retrained: list[tuple[datetime, str]] = []

        def retrain(as_of: datetime, why: str) -> None:
            done = Night(store, client, spec, as_of=as_of).deployment()
            retrained.append((as_of, f"{why}: version {done.version}, {done.reason}"))
            print(f"{as_of:%Y-%m-%d} retrained ({why}): {done.reason}", flush=True)

        retrain(first, "first")
        as_of, started = first + timedelta(days=2), time.monotonic()
        while as_of <= last:
            if as_of.weekday() == 0:
                retrain(as_of, "weekly")
            health, report = monitor_day(Workspace(store, client, spec), as_of)
            seen.append((health, report))
            if health.request:
                retrain(as_of, "asked")
            if health.colour != "green":
                print(
                    f"{health.day} {health.colour:7} {'; '.join(health.reasons)[:160]}", flush=True
                )
            as_of += timedelta(days=1)
        print(f"{len(seen)} days in {time.monotonic() - started:.0f} s")
        out = ROOT / "docs" / "pictures" / "monitored_year.png"
        draw(spec, seen, retrained, out)
        summarise(seen, retrained)


def summarise(seen, retrained) -> None:
    """Print rates, and what was asked."""
    colours = [health.colour for health, _ in seen]
    print({name: colours.count(name) for name in COLOURS})
    alarms = sum(report.results["drift"].alarms[-1].is_alarm for _, report in seen)
    marks = [report.results["drift"].report.columns.values() for _, report in seen]
    beyond = [sum(found.get("beyond_default_threshold", False) for found in m) for m in marks]
    print(f"drift alarms on {alarms} of {len(seen)} days")
    print(f"retrains: {len(retrained)}", *(f"  {a:%Y-%m-%d} {w}" for a, w in retrained), sep="\n")
    print(f"columns of the report beyond their limit a day: {sum(beyond) / len(beyond):.2f}")


def draw(spec, seen, retrained, path: Path) -> None:
    """Draw quality over the year and what was raised on which day."""
    import matplotlib.dates as mdates
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), layout="constrained")
    top, strip = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2.2))
    days = [health.day for health, _ in seen]
    windows = {w.last: w for _, report in seen for w in report.results["quality"].windows}
    shown = [d for d in days if d in windows]
    metric = spec.metric
    top.plot(
        shown,
        [windows[d].metrics[metric] for d in shown],
        color="#1c2321",
        lw=1.8,
        label=f"{metric} of 7 days, observed",
    )
    promised = [report.results["quality"].windows[-1].estimated[metric] for _, report in seen]
    top.plot(
        days,
        promised,
        color="#5b6b9c",
        lw=1.3,
        ls="--",
        label="estimated on the day, before its labels",
    )
    floor = spec.gates.floors[metric]
    top.axhline(floor, color="#b3261e", lw=1, label=f"floor {floor:g}")
    for when, why in retrained:
        asked = why.startswith("asked")
        top.axvline(when, color="#b3261e" if asked else "#1b7f4b", alpha=0.5, lw=1)
    top.set_ylabel(metric)
    top.legend(loc="lower left", frameon=False, ncols=3)
    top.set_title(
        f"{spec.model}: {len(seen)} days of 2013 monitored; retrained weekly (green lines) and "
        "when asked (red lines)",
        loc="left",
    )
    rows = ["day", *KINDS]
    for level, kind in enumerate(reversed(rows)):
        for health, _ in seen:
            if kind == "day":
                colour = COLOURS[health.colour]
            elif any(r.startswith(f"{kind}:") for r in health.reasons):
                colour = COLOURS["amber"]
            else:
                continue
            strip.add_patch(_cell(mdates.date2num(health.day), level, colour))
    strip.set_yticks([n + 0.4 for n in range(len(rows))], list(reversed(rows)))
    strip.set_ylim(-0.1, len(rows) + 1.3)
    for day, name in EVENTS.items():
        x = mdates.date2num(datetime.fromisoformat(day))
        strip.axvline(x, color="#9aa1ab", lw=0.8, ls=":")
        strip.text(x, len(rows) + 0.15, f" {name}", rotation=0, fontsize=8, ha="center")
    strip.xaxis.set_major_locator(mdates.MonthLocator())
    strip.xaxis.set_major_formatter(mdates.DateFormatter("%b"))
    for axes in (top, strip):
        axes.spines[["top", "right"]].set_visible(False)
    strip.set_xlim(days[0], days[-1] + timedelta(days=1))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    with path.with_suffix(".csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["day", "colour", "reasons"])
        lines.writerows([h.day, h.colour, "; ".join(h.reasons)] for h, _ in seen)


def _cell(x: float, level: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x, level), 1, 0.8, color=colour, lw=0)


if __name__ == "__main__":
    main()
