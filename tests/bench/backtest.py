"""
Make the picture of docs/replay.md: every third night of 2013, and what the gates make of it.

The stages are called one after the other in two processes, without Airflow, which would take hours
on a laptop; ``make bench-backfill`` does the same through the scheduler for 30 nights. Only the
better candidate is fitted. ``STEP`` (3) is the number of days between nights.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlflow import MlflowClient
from tests import conftest
from tests.night import Night

from evergreen.backtest import backtest
from evergreen.spec import load_spec
from evergreen.storage import FolderStore
from evergreen.training import train_candidate

STEP = int(os.environ.get("STEP", "3"))
#: The first night whose window lies in 2013, and the last.
FIRST, LAST = datetime(2013, 3, 13, 6, tzinfo=UTC), datetime(2013, 12, 31, 6, tzinfo=UTC)


class OneCandidate(Night):
    def candidates(self, examples):
        return [
            train_candidate(
                self.store, self.client, self.spec, candidate=name, examples=examples, tags={}
            )
            for name in ("boosting", "baseline")
        ]


def make(work: tuple[str, str, datetime]) -> str:
    folder, url, as_of = work
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    night = OneCandidate(FolderStore(Path(folder)), client, load_spec("flight_delay"), as_of)
    return f"{as_of:%Y-%m-%d} version {night.registration().version}"


def main() -> None:
    from models.flight_delay import feed

    home = Path(tempfile.mkdtemp(prefix="eg-backtest-"))
    store = FolderStore(home / "store")
    days = [feed.FIRST_DAY + timedelta(days=n) for n in range(365)]
    feed.land_days(store, days, replace=frozenset())
    nights = [FIRST + timedelta(days=n) for n in range(0, (LAST - FIRST).days + 1, STEP)]
    with conftest.mlflow_server(home / "mlflow") as url:
        with ProcessPoolExecutor(2) as pool:
            for done in pool.map(make, [(str(store.root), url, night) for night in nights]):
                print(done, flush=True)
        client = MlflowClient(tracking_uri=url, registry_uri=url)
        found = backtest(store, client, load_spec("flight_delay"), first=FIRST, last=LAST)
    print(found.model_dump_json(indent=1))
    pictures = Path(__file__).parents[2] / "docs" / "pictures"
    (pictures / "backtest.png").write_bytes(store.get(found.plot.key))
    (pictures / "backtest.csv").write_bytes(store.get(found.table.key))
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
