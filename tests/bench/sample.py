"""
Measure the sample model on the first night of nine months of 2013. `make bench-sample`.

Every stage as the retrain DAG runs it, without the scheduler: each night validates and prepares
its window, fits and searches the shipped candidates and evaluates the best one on the test days,
without a champion. The table shows ROC-AUC on the test days, what gates failed, and, over all
nights, which inputs add nothing. `make bench-sample MONTHS="4 7"` measures
April and July only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean

from tests.bench.page import Page
from tests.support.night import Night

from evergreen.data.window import training_window
from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import EvaluationDetails, EvaluationReceipt, Importance
from evergreen.spec import ModelSpec, load_spec
from evergreen.storage.base import ObjectStore
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import read_document

MONTHS = tuple(range(4, 13))
#: The mean ROC-AUC on the test days that the sample must reach.
FLOOR = 0.76


@dataclass(frozen=True, kw_only=True)
class Result:
    """One night: its evaluation, what each input was worth, and CPU seconds to prepare a day."""

    as_of: datetime
    evaluation: EvaluationReceipt
    importances: tuple[Importance, ...]
    day_s: float

    @property
    def auc(self) -> float:
        return float(self.evaluation.metrics["challenger"]["roc_auc"] or 0)

    @property
    def linear(self) -> float:
        return float(self.evaluation.metrics["linear baseline"]["roc_auc"] or 0)

    @property
    def failed(self) -> list[str]:
        return [gate.name for gate in self.evaluation.gates if gate.status == "failed"]

    @property
    def best_candidate(self) -> str:
        return self.evaluation.challenger.candidate


def land(store: ObjectStore, spec: ModelSpec, as_of: datetime) -> None:
    """Land the days that the night of *as_of* reads."""
    from models.flight_delay import feed

    days = training_window(as_of, spec.window).days
    before = max(table.lookback_days for table in spec.raw_tables.values())
    first = days.first - timedelta(days=before)
    wanted = [first + timedelta(days=n) for n in range((days.end - first).days)]
    feed.land_days(store, wanted, replace=frozenset())


def measure(store: ObjectStore, client, spec: ModelSpec, as_of: datetime) -> Result:
    """Run the stages of one night up to the evaluation."""
    land(store, spec, as_of)
    night = Night(store, client, spec, as_of)
    night.validation()
    started = time.process_time()
    examples: ExamplesReceipt = night.examples()
    seconds = time.process_time() - started
    found = night.evaluation(examples)
    details = read_document(store, found.details, EvaluationDetails)
    return Result(
        as_of=as_of,
        evaluation=found,
        importances=details.importances,
        day_s=seconds / max(examples.days_prepared, 1),
    )


def useless_inputs(results: Sequence[Result]) -> dict[str, int]:
    """Return how many nights each input added nothing on, by the rule of the gate that lists it."""
    return Counter(one.name for r in results for one in r.importances if one.is_useless)


def show(page: Page, results: Sequence[Result]) -> None:
    """Print the nights, their means and what the inputs are worth."""
    rows = [
        (
            f"{r.as_of:%Y-%m-%d}",
            r.best_candidate,
            f"{r.auc:.4f}",
            f"{r.linear:.4f}",
            f"{r.auc - r.linear:+.4f}",
            ", ".join(r.failed) or "none",
            f"{1000 * r.day_s:.0f}",
        )
        for r in results
    ]
    columns = ("night", "best", "ROC-AUC", "linear", "gain", "gates failed", "CPU ms a day")
    page.table("First nights of months, on the test days", columns, rows)
    ahead = sum("the linear baseline" not in " ".join(r.failed) for r in results)
    page.say(
        f"Mean ROC-AUC {mean(r.auc for r in results):.4f} on {len(results)} nights, linear "
        f"baseline {mean(r.linear for r in results):.4f}; its gate passed on {ahead}. CPU ms a "
        "day are those of preparing one new day."
    )
    useless = useless_inputs(results)
    worth = {
        one.name: mean(i.cost for r in results for i in r.importances if i.name == one.name)
        for one in results[0].importances
    }
    page.table(
        "Inputs: mean cost in ROC-AUC if shuffled, nights on which they add nothing",
        ("input", "cost", "nights"),
        [
            (name, f"{cost:.4f}", str(useless.get(name, 0)))
            for name, cost in sorted(worth.items(), key=lambda item: -item[1])
        ],
    )
    idle = sorted(name for name, cost in worth.items() if cost <= 0)
    page.say(
        f"Inputs that cost nothing on average if shuffled: {', '.join(idle) or 'none'}. One night "
        "shuffles few rows, so its gate names many inputs that other nights need."
    )


@contextmanager
def workplace() -> Iterator[tuple[ObjectStore, object]]:
    """Yield a store and a client of MLflow that exist for this measurement only."""
    from mlflow import MlflowClient
    from tests.conftest import mlflow_server

    with tempfile.TemporaryDirectory() as home, mlflow_server(Path(home) / "mlflow") as url:
        yield FolderStore(Path(home) / "store"), MlflowClient(url, url)


def main(months: Sequence[int]) -> int:
    """Measure *months*; return 1 if the mean of all nine is below the floor."""
    page, spec = Page(), load_spec("flight_delay")
    results = []
    with workplace() as (store, client):
        for month in months:
            results.append(measure(store, client, spec, datetime(2013, month, 1, tzinfo=UTC)))
            page.progress(
                f"{results[-1].as_of:%Y-%m-%d}: {results[-1].best_candidate} "
                f"{results[-1].auc:.4f}, linear {results[-1].linear:.4f}"
            )
    show(page, results)
    return int(mean(r.auc for r in results) < FLOOR)


if __name__ == "__main__":
    sys.exit(main([int(month) for month in sys.argv[1:]] or MONTHS))
