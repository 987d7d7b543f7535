"""
One version in processes of its own, asked in batches.

While a process predicts, rows that come meanwhile wait and go together: predicting 32 rows costs
little more than one (FACTS), and no request waits for a batch to fill.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evergreen.errors import ArtifactError
from evergreen.modeling.smoke_test import SmokeTest
from evergreen.serving import worker
from evergreen.serving.inputs import Columns
from evergreen.serving.worker import Loaded

if TYPE_CHECKING:
    from evergreen.modeling.metrics import Predictions

log = logging.getLogger(__name__)

LOAD_WITHIN_S = 120.0
#: A request that chose this version a moment ago may not have asked it yet.
SETTLE_S = 0.5
CLOSE_WITHIN_S = 5.0
#: Another try of a version whose process died; the same rows may kill it again.
ATTEMPTS = 2


class OverloadedError(Exception):
    """So much waits that one more request would only wait in vain."""


class PredictionError(Exception):
    """The version failed on these rows: it raised, died or took too long."""


@dataclass(frozen=True, kw_only=True)
class ServingLimits:
    """How much a version takes at once, how much may wait for it, and for how long."""

    workers: int
    max_batch_rows: int
    max_queued_rows: int
    timeout_s: float


@dataclass(kw_only=True)
class _Job:
    columns: Columns
    rows: int
    done: asyncio.Future[Predictions] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class ServedVersion:
    """A loaded version; see :meth:`start`."""

    def __init__(self, question: SmokeTest, *, version: str, limits: ServingLimits) -> None:
        self.question, self.version, self.limits = question, version, limits
        self.inputs: tuple[str, ...] = ()
        self.classes: tuple[str, ...] = ()
        self.batches = self.restarts = 0
        self.predict_s = 0.0
        self._pids: list[int] = []
        self._pools: list[ProcessPoolExecutor] = []
        self._free: deque[ProcessPoolExecutor] = deque()
        self._waiting: deque[_Job] = deque()
        self._waiting_rows = 0
        self._idle = asyncio.Semaphore(limits.workers)
        self._sending: asyncio.Task[None] | None = None
        self._batches_running: set[asyncio.Task[None]] = set()
        self._restarting = asyncio.Lock()
        self._is_closed = False

    @property
    def name(self) -> str:
        """Model and version, for people."""
        return self.question.name

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a process."""
        return self._waiting_rows

    async def start(self) -> None:
        """
        Start the processes, load the version in each and hold it against its example.

        :raises ArtifactError: If it cannot be loaded, dies, hangs, predicts something else than in
            training, or wants an input that the spec does not have.
        """
        try:
            await self._open()
        except ArtifactError:
            await self.close(drain=False)
            raise

    async def predict(self, columns: Columns, rows: int, *, within_s: float) -> Predictions:
        """
        Return what the version says of *rows* rows.

        :raises OverloadedError: If too many rows wait already.
        :raises PredictionError: If it fails on them, or has not answered after *within_s*.
        """
        if self._waiting_rows + rows > self.limits.max_queued_rows:
            raise OverloadedError(f"{self._waiting_rows} rows wait for {self.name} already")
        job = _Job(columns=columns, rows=rows)
        self._waiting.append(job)
        self._waiting_rows += rows
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        try:
            return await asyncio.wait_for(job.done, within_s)
        except TimeoutError:
            raise PredictionError(f"{self.name} gave no answer within {within_s:g} s") from None

    async def close(self, *, drain: bool = True) -> None:
        """End the processes, after what waits was answered."""
        if drain:
            await asyncio.sleep(SETTLE_S)
            while self._waiting or self._batches_running:
                await asyncio.sleep(0.05)
        self._is_closed = True
        if drain:
            ends = [asyncio.to_thread(pool.shutdown) for pool in self._pools]
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*ends), CLOSE_WITHIN_S)
        self._kill()

    async def _open(self) -> None:
        count = self.limits.workers
        # Spawned, so that no lock or connection of the server is copied into them.
        spawn = multiprocessing.get_context("spawn")
        self._pools = [ProcessPoolExecutor(1, mp_context=spawn) for _ in range(count)]
        self._free = deque(self._pools)
        loop = asyncio.get_running_loop()
        loads = [loop.run_in_executor(p, worker.load, self.question) for p in self._pools]
        try:
            loaded = await asyncio.wait_for(asyncio.gather(*loads), LOAD_WITHIN_S)
        except TimeoutError:
            raise ArtifactError(f"{self.name} did not load within {LOAD_WITHIN_S:g} s.") from None
        except BrokenProcessPool as error:
            raise ArtifactError(f"{self.name} broke its process while loading.") from error
        except Exception as error:
            raise ArtifactError(f"{self.name}: {type(error).__name__}: {error}") from error
        self._take_over(loaded)

    def _take_over(self, loaded: Sequence[Loaded]) -> None:
        self._pids = [one.pid for one in loaded]
        if failure := next((one.answer.error for one in loaded if one.answer.error), None):
            raise ArtifactError(failure)
        self.inputs, self.classes = loaded[0].inputs, loaded[0].classes
        if strange := sorted(set(self.inputs) - set(self.question.spec.examples.features)):
            raise ArtifactError(
                f"{self.name} wants {', '.join(strange)}, which the spec does not have and no "
                "caller can send."
            )

    async def _send(self) -> None:
        """Hand what waits to the processes, as much at once as comes together."""
        while self._waiting:
            await self._idle.acquire()
            batch: list[_Job] = []
            rows = 0
            while self._waiting and (
                not batch or rows + self._waiting[0].rows <= self.limits.max_batch_rows
            ):
                job = self._waiting.popleft()
                self._waiting_rows -= job.rows
                if not job.done.done():  # its caller may have given up
                    batch.append(job)
                    rows += job.rows
            task = asyncio.create_task(self._work(batch))
            self._batches_running.add(task)
            task.add_done_callback(self._end_batch)

    def _end_batch(self, task: asyncio.Task[None]) -> None:
        self._batches_running.discard(task)
        self._idle.release()

    async def _work(self, batch: list[_Job]) -> None:
        for together in _alike(batch):
            try:
                scores = await self._ask(_joined(together))
            except PredictionError as error:
                await self._call_worker(together, error)
                continue
            at = 0
            for job in together:
                _settle(job, scores[at : at + job.rows])
                at += job.rows

    async def _call_worker(self, batch: list[_Job], error: PredictionError) -> None:
        """Find out whose rows broke the batch, so that the others are answered."""
        if len(batch) == 1:
            _settle(batch[0], error)
            return
        for job in batch:
            try:
                _settle(job, await self._ask(job.columns))
            except PredictionError as own:
                _settle(job, own)

    async def _ask(self, columns: Columns) -> Predictions:
        failure = ""
        for _ in range(ATTEMPTS):
            pool = self._free.popleft()
            call = asyncio.get_running_loop().run_in_executor(pool, worker.predict_batch, columns)
            try:
                scores, seconds = await asyncio.wait_for(call, self.limits.timeout_s)
            except TimeoutError:
                await self._restart(pool)
                raise PredictionError(
                    f"{self.name} was stopped after {self.limits.timeout_s:g} s"
                ) from None
            except BrokenProcessPool:
                failure = f"{self.name} broke its process"
                await self._restart(pool)
                continue
            except Exception as error:
                self._free.append(pool)
                raise PredictionError(f"{self.name}: {type(error).__name__}: {error}") from error
            self._free.append(pool)
            self.batches += 1
            self.predict_s += seconds
            return scores
        raise PredictionError(failure)

    async def _restart(self, pool: ProcessPoolExecutor) -> None:
        """Put a fresh process in the place of one that died or hangs."""
        async with self._restarting:
            if self._is_closed:
                raise PredictionError(f"{self.name} is closed")
            at = self._pools.index(pool)
            with suppress(ProcessLookupError):
                os.kill(self._pids[at], signal.SIGKILL)
            pool.shutdown(wait=False, cancel_futures=True)
            self.restarts += 1
            log.warning("%s lost its process %d; starting another", self.name, self._pids[at])
            fresh = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            self._pools[at] = fresh
            call = asyncio.get_running_loop().run_in_executor(fresh, worker.load, self.question)
            try:
                loaded = await asyncio.wait_for(call, LOAD_WITHIN_S)
                self._pids[at] = loaded.pid
            except (TimeoutError, BrokenProcessPool) as error:
                raise PredictionError(f"{self.name} does not start again: {error}") from error
            finally:
                self._free.append(fresh)

    def _kill(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # nothing is lost: it holds no state


def _alike(batch: list[_Job]) -> list[list[_Job]]:
    """Group jobs that carry the same columns, as nearly always all do."""
    groups: dict[tuple[str, ...], list[_Job]] = {}
    for job in batch:
        groups.setdefault(tuple(job.columns), []).append(job)
    return list(groups.values())


def _joined(batch: list[_Job]) -> Columns:
    if len(batch) == 1:
        return batch[0].columns
    return {
        name: [value for job in batch for value in job.columns[name]] for name in batch[0].columns
    }


def _settle(job: _Job, outcome: Any) -> None:
    if job.done.done():
        return  # its caller has given up
    if isinstance(outcome, Exception):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)
