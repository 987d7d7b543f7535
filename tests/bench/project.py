"""A stack of the benchmark's own: a copy of the project with models that do the script's job."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import yaml
from rich.console import Console
from tests.support.project import copy_code
from tests.support.stack import Stack, running_stack

from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.storage.base import ObjectStore
from evergreen.storage.folder import FolderStore
from evergreen_airflow.embedded.runs import run_dag


def model_of(scale: int) -> str:
    return "night" if scale == 1 else f"night_x{scale}"


def table_of(scale: int) -> str:
    return "flights" if scale == 1 else f"flights_x{scale}"


def make_project(root: Path, models: dict[str, int]) -> Path:
    """Copy what Airflow reads to *root*, with the models instead of the sample: one candidate."""
    copy_code(root)
    (root / "dags" / "flights_feed.py").unlink()
    sample = root / "include" / "models" / "flight_delay"
    for model, scale in models.items():
        folder = root / "include" / "models" / model
        shutil.copytree(sample, folder)
        spec = yaml.safe_load((sample / "model.yaml").read_text())
        spec["source"]["files"]["flights"] = f"raw/{table_of(scale)}/{{day}}.parquet"
        spec |= {"model": model, "candidates": ["boosting"], "deployment": {"target": "batch"}}
        # Every gate is asked, and a stormy week still has a champion.
        spec["gates"] |= {"floors": {}, "baseline": {"linear": -1}, "max_calibration_error": 0.5}
        (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    shutil.rmtree(sample)
    here = Path(__file__).parent
    shutil.copy(here / "plain_script.py", root / "include")
    shutil.copy(here / "dags" / "plain_night.py", root / "dags")
    return root


def land(store: ObjectStore, first: date, last: date, *, scale: int) -> None:
    """Land the real days from *first* to *last*, each flight *scale* times."""
    from models.flight_delay import feed

    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    feed.land_days(store, days, replace=frozenset())
    if scale == 1:
        return
    for day in days:
        real = from_parquet(store.get(f"raw/flights/{day}.parquet"))
        copies = [real.assign(flight=real["flight"] + 10_000 * n) for n in range(scale)]
        frame = pd.concat(copies, ignore_index=True)
        store.put(f"raw/{table_of(scale)}/{day}.parquet", to_parquet(frame))


@contextmanager
def bench_stack(models: dict[str, int], **environ: str) -> Iterator[Stack]:
    """Run a stack on a project with *models*, each with so many rows for every real one."""
    with tempfile.TemporaryDirectory(prefix="eg-bench-") as folder:
        root = make_project(Path(folder), models)
        with running_stack(is_quiet=False, EVERGREEN_PROJECT=str(root), **environ) as stack:
            yield stack


def runner(stack: Stack) -> Callable[..., None]:
    """Return what triggers a run of a DAG and waits for its green end."""
    quiet = Console(file=io.StringIO())

    def run(dag_id: str, run_id: str, **conf: str) -> None:
        run_dag(stack.api, dag_id, run_id=run_id, conf=conf, console=quiet)

    return run


def store_of(stack: Stack) -> FolderStore:
    return FolderStore(stack.settings.store)
