"""
Monitor the days of a model one after the other, and draw what a person would have seen.

Every stage as the DAGs run it, without the scheduler: retrain on Mondays and whenever monitor
requests it, score and monitor every day, labels known with their delay. Ends in a picture and a
table of all days in docs/pictures. `make bench-monitor` (MODELS="flights police_stops").
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlflow import MlflowClient

from evergreen.data.window import training_window
from evergreen.monitoring.health import Report
from evergreen.receipts.monitoring import HealthReceipt
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

COLOURS = {"green": "#1b7f4b", "amber": "#e0a030", "red": "#b3261e", "unknown": "#9aa1ab"}
KINDS = ("drift", "schema", "quality", "labels", "estimate", "staleness")


@dataclass
class Seen:
    """What was monitored, what was retrained and why, and what became of each request."""

    days: list[tuple[HealthReceipt, Report]] = field(default_factory=list)
    retrained: list[tuple[datetime, str]] = field(default_factory=list)

    def requests(self) -> Counter[str]:
        """Return how many days requested a retrain, or why a wanted one was held."""
        outcomes = [health.retrain.partition(":")[0] for health, _ in self.days if health.retrain]
        return Counter(outcomes)


def main() -> None:
    """Run the years whose names are given, by default all, and draw each."""
    from tests.support.monitored_models import EVERY

    for name in sys.argv[1:] or EVERY:
        with tempfile.TemporaryDirectory() as home:
            monitored = EVERY[name](Path(home) / "code")
            seen = run_year(monitored, Path(home))
        stem = "monitored_year" if name == "flights" else f"monitored_{name}"
        draw(monitored, seen, ROOT / "docs" / "pictures" / f"{stem}.png")
        summarise(seen)


def run_year(monitored, home: Path, *, most_days: int | None = None) -> Seen:
    """
    Retrain, score and monitor every day that has a whole window before it.

    :param most_days: Stop after so many days; by default at the last day with data.
    """
    from tests.conftest import mlflow_server
    from tests.support.monitored import monitor_day
    from tests.support.night import Night

    seen, spec = Seen(), monitored.spec
    with mlflow_server(home / "mlflow") as url:
        store, client = FolderStore(home / "store"), MlflowClient(url, url)
        monitored.land(store)

        def retrain(as_of: datetime, why: str) -> None:
            done = Night(store, client, spec, as_of=as_of).deployment()
            seen.retrained.append((as_of, f"{why}: version {done.version}, {done.reason}"))
            print(f"{as_of:%Y-%m-%d} retrained ({why}): {done.reason}", flush=True)

        first, last = _nights(monitored)
        retrain(first, "first")
        as_of, started = first + timedelta(days=2), time.monotonic()
        while as_of <= last and len(seen.days) != most_days:
            if as_of.weekday() == 0:
                retrain(as_of, "weekly")
            seen.days.append(monitor_day(Workspace(store, client, spec), as_of))
            health = seen.days[-1][0]
            if health.request:
                retrain(as_of, "requested")
            if health.colour != "green":
                reasons = "; ".join(health.reasons)[:160]
                print(f"{health.day} {health.colour:7} {reasons}", flush=True)
            as_of += timedelta(days=1)
    print(f"{len(seen.days)} days in {time.monotonic() - started:.0f} s")
    return seen


def _nights(monitored) -> tuple[datetime, datetime]:
    """Return the first night that has a whole window, and the night after the last day."""
    first_day, last_day = monitored.days
    night = datetime(first_day.year, first_day.month, first_day.day, 6, tzinfo=UTC)
    while training_window(night, monitored.spec.window).days.first < first_day:
        night += timedelta(days=1)
    return night, datetime(last_day.year, last_day.month, last_day.day, 6, tzinfo=UTC)


def summarise(seen: Seen) -> None:
    """Print rates, what was requested, and what held a request."""
    days = [health for health, _ in seen.days]
    colours = Counter(health.colour for health in days)
    print({name: colours[name] for name in COLOURS})
    alarms = sum(report.results["drift"].alarms[-1].is_alarm for _, report in seen.days)
    marks = [report.results["drift"].report.columns.values() for _, report in seen.days]
    beyond = [sum(found.get("beyond_default_threshold", False) for found in m) for m in marks]
    print(f"drift alarms on {alarms} of {len(days)} days")
    print(f"a retrain was wanted on {seen.requests().total()} days: {dict(seen.requests())}")
    requested = [f"{a:%Y-%m-%d} {w}" for a, w in seen.retrained if w.startswith("requested")]
    print(f"retrains: {len(seen.retrained)}, requested: {len(requested)}", *requested, sep="\n  ")
    print(f"columns of the report beyond their limit a day: {sum(beyond) / len(beyond):.2f}")


def draw(monitored, seen: Seen, path: Path) -> None:
    """Draw quality over the year and what was raised on which day; write the table beside it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), layout="constrained")
    top, strip = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2.2))
    _draw_quality(top, monitored.spec, seen)
    _draw_days(strip, monitored, seen)
    for axes in (top, strip):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    with path.with_suffix(".csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["day", "colour", "reasons", "retrain"])
        lines.writerows([h.day, h.colour, "; ".join(h.reasons), h.retrain] for h, _ in seen.days)


def _draw_quality(axes, spec, seen: Seen) -> None:
    """The metric as observed and as estimated on the day; a line for each retrain."""
    metric = spec.metric
    windows = {w.last: w for _, report in seen.days for w in report.results["quality"].windows}
    days = [health.day for health, _ in seen.days]
    shown = [d for d in days if d in windows and metric in windows[d].metrics]
    length = spec.quality.window_days
    observed = [windows[d].metrics[metric] for d in shown]
    label = f"{metric} of {length} days, observed"
    axes.plot(shown, observed, color="#1c2321", lw=1.8, label=label)
    newest = [(h.day, r.results["quality"].windows[-1:]) for h, r in seen.days]
    estimated = [(d, w[0].estimated[metric]) for d, w in newest if w and metric in w[0].estimated]
    if estimated:
        label = "estimated on the day, before its labels"
        axes.plot(*zip(*estimated, strict=True), color="#5b6b9c", lw=1.3, ls="--", label=label)
    if floor := spec.gates.floors.get(metric):
        axes.axhline(floor, color="#b3261e", lw=1, label=f"floor {floor:g}")
    for when, why in seen.retrained:
        is_requested = why.startswith("requested")
        axes.axvline(when, color="#b3261e" if is_requested else "#1b7f4b", alpha=0.5, lw=1)
    axes.set_ylabel(metric)
    axes.legend(loc="lower left", frameon=False, ncols=3)
    title = (
        f"{spec.model}: {len(days)} days of {days[0].year} monitored; retrained weekly "
        "(green lines) and on request (red lines)"
    )
    axes.set_title(title, loc="left")


def _draw_days(strip, monitored, seen: Seen) -> None:
    """A row for the colour of the days, and one for each kind of reason."""
    import matplotlib.dates as mdates

    rows = ["day", *KINDS]
    for level, kind in enumerate(reversed(rows)):
        for health, _ in seen.days:
            is_raised = any(r.startswith(f"{kind}:") for r in health.reasons)
            if kind == "day" or is_raised:
                colour = COLOURS[health.colour if kind == "day" else "amber"]
                strip.add_patch(_cell(mdates.date2num(health.day), level, colour))
    strip.set_yticks([n + 0.4 for n in range(len(rows))], list(reversed(rows)))
    strip.set_ylim(-0.1, len(rows) + 1.3)
    for day, name in monitored.events.items():
        x = mdates.date2num(datetime.fromisoformat(day))
        strip.axvline(x, color="#9aa1ab", lw=0.8, ls=":")
        strip.text(x, len(rows) + 0.15, f" {name}", rotation=0, fontsize=8, ha="center")
    strip.xaxis.set_major_locator(mdates.MonthLocator())
    strip.xaxis.set_major_formatter(mdates.DateFormatter("%b"))
    strip.set_xlim(seen.days[0][0].day, seen.days[-1][0].day + timedelta(days=1))


def _cell(x: float, level: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x, level), 1, 0.8, color=colour, lw=0)


if __name__ == "__main__":
    main()
