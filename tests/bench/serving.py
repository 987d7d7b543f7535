"""
The model server beside ``mlflow models serve`` on the same model, in turn, in one run.

One process predicts in each. Every figure is what callers saw: sequential calls for response time,
sixteen callers at once for throughput.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from mlflow import MlflowClient
from tests.conftest import (
    AS_OF,
    LANDED_DAYS,
    answers,
    free_port,
    mlflow_server,
    small,
    wait_until,
)
from tests.support.night import Night
from tests.support.serving import BEARER, live_rows, model_server, split

from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore
from models.flight_delay import feed

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = float(os.environ.get("SECONDS", "5"))
CALLERS = 16


@dataclass(kw_only=True)
class Figures:
    """What callers saw of one server and one kind of request."""

    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_ms: float


async def call_for(url: str, body: bytes, *, callers: int, seconds: float) -> tuple[list, float]:
    """Return the duration of every call, in s, and the time all took together."""
    durations: list[float] = []
    headers = BEARER | {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=callers)

    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> None:
            while time.perf_counter() < end:
                began = time.perf_counter()
                async with session.post(url, data=body) as answer:
                    said = await answer.json()
                    assert answer.status == 200, said
                durations.append(time.perf_counter() - began)

        started = time.perf_counter()
        end = started + seconds
        await asyncio.gather(*(one() for _ in range(callers)))
        return durations, time.perf_counter() - started


def cpu_of(process: subprocess.Popen) -> float:
    """Return the CPU seconds of a process and its children."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return sum(sum(p.cpu_times()[:2]) for p in family)


def measure(url: str, process: subprocess.Popen, body: bytes) -> Figures:
    """Call one server one after the other, then with many callers at once."""
    before = cpu_of(process)
    alone, _ = asyncio.run(call_for(url, body, callers=1, seconds=SECONDS))
    cpu_ms = 1000 * (cpu_of(process) - before) / len(alone)
    many, took = asyncio.run(call_for(url, body, callers=CALLERS, seconds=SECONDS))
    p50, p99 = 1000 * np.quantile(alone, [0.5, 0.99])
    return Figures(p50_ms=p50, p99_ms=p99, per_s=len(many) / took, cpu_ms=cpu_ms)


@contextmanager
def mlflow_serves(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve the model in *folder* as MLflow does, with one process."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(folder),
        "--env-manager",
        "local",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}  # it starts uvicorn from the PATH
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, env=env, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            wait_until(lambda: answers(port), within_s=120, what="mlflow models serve")
            time.sleep(3)  # the port is open before the model is loaded
            yield f"http://127.0.0.1:{port}/invocations", process
        finally:
            os.killpg(process.pid, 15)


def champion(home: Path, uri: str) -> tuple[Night, Path]:
    """Train the sample on real flights; return its night and the folder of its MLflow model."""
    store = FolderStore(home / "store")
    first = AS_OF.date() - timedelta(days=LANDED_DAYS)
    days = [first + timedelta(days=n) for n in range(LANDED_DAYS + 1)]
    feed.land_days(store, days, replace=frozenset())
    night = Night(store, MlflowClient(uri, uri), small(load_spec("flight_delay")))
    assert night.deployment().moved
    model_id = night.client.get_model_version("flight_delay", "1").tags["evergreen.model_id"]
    made = next((home / "mlflow").rglob(f"{model_id}/artifacts"))
    return night, Path(shutil.copytree(made, home / "model"))


def main() -> None:
    console = Console()
    os.environ["OMP_NUM_THREADS"] = "1"
    with (
        tempfile.TemporaryDirectory(prefix="eg-", ignore_cleanup_errors=True) as home,
        mlflow_server(Path(home) / "mlflow") as uri,
    ):
        night, folder = champion(Path(home), uri)
        rows = live_rows(night)[list(night.spec.examples.features)].head(100)
        bodies = {n: json.dumps(split(rows.head(n))).encode() for n in (1, 100)}
        cache = Path(home) / "cache"
        with (
            model_server(
                night.store.uri, uri, cache, models="flight_delay", poll_s=2, flush_s=30
            ) as ours,
            mlflow_serves(folder) as (theirs, their_process),
        ):
            url = f"{ours.url}/invocations"
            agree(url, theirs, bodies[100])
            for n, body in bodies.items():
                report(
                    console,
                    n,
                    [
                        (measure(url, ours.process, body), measure(theirs, their_process, body))
                        for _ in range(ROUNDS)
                    ],
                )
            share(console, ours)


def agree(ours: str, theirs: str, body: bytes) -> None:
    """Both must say the same, or their times say nothing."""
    import httpx

    headers = BEARER | {"Content-Type": "application/json"}
    said = [
        httpx.post(url, content=body, headers=headers, timeout=60).json()["predictions"]
        for url in (ours, theirs)
    ]
    np.testing.assert_allclose(said[0], said[1], rtol=1e-9)


def report(console: Console, rows: int, rounds: list[tuple[Figures, Figures]]) -> None:
    """Show every round, ours beside MLflow's, and the ratio."""
    table = Table(
        title=f"{rows} rows a request, {len(rounds)} rounds in turn", title_justify="left"
    )
    for name in ("what", "round", "model server", "mlflow models serve", "ratio"):
        table.add_column(name, justify="right" if name != "what" else "left")
    for label, name in (
        ("p50, ms, one caller", "p50_ms"),
        ("p99, ms, one caller", "p99_ms"),
        (f"requests/s, {CALLERS} callers", "per_s"),
        ("CPU ms a request, one caller", "cpu_ms"),
    ):
        for number, (mine, other) in enumerate(rounds, start=1):
            a, b = getattr(mine, name), getattr(other, name)
            table.add_row(label, str(number), f"{a:.1f}", f"{b:.1f}", f"{a / b:.2f}")
    console.print(table)


def share(console: Console, server) -> None:
    """Say what share of a lone caller's time is scikit-learn's own predict."""
    inputs = [c["name"] for c in server.http.get("/v2/models/flight_delay").json()["inputs"]]
    body = json.dumps({"dataframe_split": {"columns": inputs, "data": [[None] * len(inputs)]}})
    before = predict_seconds(server)
    alone, took = asyncio.run(
        call_for(f"{server.url}/invocations", body.encode(), callers=1, seconds=SECONDS)
    )
    spent = predict_seconds(server) - before
    console.print(
        f"Of one caller's {1000 * took / len(alone):.1f} ms a row, "
        f"{1000 * spent / len(alone):.1f} ms are scikit-learn's own predict: {spent / took:.0%}"
    )


def predict_seconds(server) -> float:
    """Return the seconds spent in scikit-learn so far."""
    lines = server.http.get("/metrics").text.splitlines()
    return float(
        next(
            line for line in lines if line.startswith("evergreen_predict_seconds_total")
        ).rpartition(" ")[2]
    )


if __name__ == "__main__":
    main()
