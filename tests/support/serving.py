"""A real model server in a process of its own, and callers that count what they send and get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pandas as pd

from evergreen.data.preparation import load_examples
from tests.conftest import ROOT, free_port, wait_until
from tests.support.night import Night

TOKEN = "a-token-for-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(kw_only=True)
class Server:
    """A running server and its log."""

    url: str
    process: subprocess.Popen
    log: Path

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=BEARER, timeout=60)

    def ready(self) -> bool:
        try:
            return self.http.get("/v2/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def about(self, model: str) -> dict:
        return self.http.get(f"/v2/models/{model}").json()["parameters"]


@contextmanager
def model_server(
    store: str,
    mlflow: str,
    cache: Path,
    *,
    include: Path = ROOT / "include",
    wait: bool = True,
    port: int | None = None,
    **asked: object,
) -> Iterator[Server]:
    """Start ``python -m evergreen serve``; *asked* are more of its settings."""
    port = port or free_port()
    chosen = {
        "store": store,
        "mlflow": mlflow,
        "cache": cache,
        "tokens": TOKEN,
        "port": port,
        "poll_s": 0.2,
        "flush_s": 0.5,
    } | asked
    env = os.environ | {"PYTHONPATH": str(include)}
    env |= {f"EVERGREEN_SERVING_{name.upper()}": str(value) for name, value in chosen.items()}
    cache.mkdir(parents=True, exist_ok=True)
    log = cache / "server.log"
    command = [sys.executable, "-m", "evergreen", "serve"]
    with (
        log.open("a") as page,
        subprocess.Popen(command, env=env, stdout=page, stderr=page) as process,
    ):
        server = Server(url=f"http://127.0.0.1:{port}", process=process, log=log)
        try:
            if wait:
                wait_until(server.ready, within_s=180, what=f"the model server, see {log}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def live_rows(night: Night, count: int = 200) -> pd.DataFrame:
    """Real examples of the last days, as a caller has them: inputs, entity key and event time."""
    rows = load_examples(night.store, night.spec, receipt=night.examples(), segments=("test",))
    spec = night.spec.examples
    names = dict.fromkeys([*spec.features, *spec.entity_key, spec.event_time])
    known = rows[list(names)].head(count)
    for name in known.select_dtypes("datetimetz"):
        known[name] = known[name].map(lambda instant: instant.isoformat())
    return known.astype(object).where(known.notna(), None)


def split(rows: pd.DataFrame) -> dict:
    """Return *rows* as MLflow's ``dataframe_split``."""
    return {"dataframe_split": {"columns": list(rows), "data": rows.to_numpy().tolist()}}


@dataclass(kw_only=True)
class Callers:
    """Threads that send one request after the other until they are told to stop."""

    server: Server
    model: str
    bodies: Sequence[bytes]
    sent: int = 0
    statuses: Counter = field(default_factory=Counter)
    versions: Counter = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_for_more(self, count: int, *, within_s: float = 60) -> None:
        """Wait until *count* more requests were sent and answered."""
        wanted = self.sent + count
        wait_until(
            lambda: self.statuses.total() + len(self.errors) >= wanted,
            within_s=within_s,
            what=f"{count} more answers",
        )

    def _call(self, number: int) -> None:
        http = self.server.http
        while not self._stop.is_set():
            body = self.bodies[number % len(self.bodies)]
            number += 7
            with self._lock:
                self.sent += 1
            started = time.perf_counter()
            try:
                answer = http.post(
                    f"/models/{self.model}/invocations",
                    content=body,
                    headers={"Content-Type": "application/json"},
                )
            except httpx.HTTPError as error:
                with self._lock:
                    self.errors.append(repr(error))
                continue
            took = time.perf_counter() - started
            with self._lock:
                self.statuses[answer.status_code] += 1
                self.slowest_s = max(self.slowest_s, took)
                if answer.status_code == 200:
                    said = answer.json()
                    self.versions[tuple(said["model_versions"])] += 1
                    if len(said["predictions"]) != len(json.loads(body)["dataframe_split"]["data"]):
                        self.errors.append("fewer predictions than rows")
                else:
                    self.errors.append(answer.text[:300])
            time.sleep(0.05)  # a caller thinks; two processors are shared by all of this


@contextmanager
def calling(
    server: Server, model: str, rows: pd.DataFrame, *, callers: int = 3
) -> Iterator[Callers]:
    """Let *callers* threads ask for rows, most one at a time and some five at once."""
    bodies = [json.dumps(split(rows.iloc[n : n + 1])).encode() for n in range(len(rows))]
    bodies += [json.dumps(split(rows.iloc[n : n + 5])).encode() for n in range(0, len(rows), 20)]
    found = Callers(server=server, model=model, bodies=bodies)
    threads = [threading.Thread(target=found._call, args=[n]) for n in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found._stop.set()
        for thread in threads:
            thread.join(60)
