"""
What was asked and answered, as Parquet for monitor; never in the way of an answer.

``requests/<model>/<day>/``: one line per request and version, without inputs (see
``evergreen/monitoring/service_levels.py``). ``served/<model>/<day>/``: some whole rows, by the day
of their event, to be compared with the examples of the same events later (see
``evergreen/monitoring/training_serving_skew.py``).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from evergreen.serving.inputs import RequestRows, day_of
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore

log = logging.getLogger(__name__)

#: Lines that are kept when the store does not take them; older ones are dropped, and counted.
MAX_LINES = 200_000
FIRST_ERROR = 400


class RequestLog:
    """
    Collect lines in memory and write them every so often, in a thread.

    :param share: Of the requests that went well; each line then stands for ``1 / share``. Those
        that failed are all written.
    :param max_rows: Whole rows kept between two writes, per model.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        replica: str,
        share: float,
        max_rows: int,
        clock: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self.store, self.replica, self.share, self.max_rows = store, replica, share, max_rows
        self.clock, self.rng = clock, rng
        self.dropped = 0
        self._numbers = itertools.count(1)
        self._lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._rows: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def add(self, model: str, *, duration_ms: float, status: int, versions: list[str]) -> None:
        """Note one request; one that several versions answered has a line for each, by its part."""
        is_error = status >= FIRST_ERROR
        if not is_error and self.rng.random() >= self.share:
            return
        weight = 1.0 if is_error else 1 / self.share
        lines = self._lines[model]
        if len(lines) >= MAX_LINES:
            self.dropped += 1
            return
        parts: dict[str | None, int] = dict(Counter(versions)) or {None: 1}
        for version, rows in parts.items():
            lines.append(
                {
                    "received_at": self.clock(),
                    "duration_ms": duration_ms,
                    "status": status,
                    "version": version,
                    "weight": weight * rows / max(len(versions), 1),
                }
            )

    def add_rows(self, spec: ModelSpec, rows: RequestRows, versions: list[str]) -> None:
        """
        Note whole rows that say which entity they are, while there is room.

        It never raises: the rows were answered. Rows that cannot be noted are counted as dropped.
        """
        kept = self._rows[spec.model]
        count = min(rows.count, self.max_rows - len(kept))
        if rows.keys is None or count <= 0:
            return
        try:
            now = self.clock()
            kept += [
                served_row(spec, rows, at, version=versions[at], now=now) for at in range(count)
            ]
        except Exception:
            self.dropped += count
            log.exception("%s: %d served rows were not logged", spec.model, count)

    async def flush(self) -> None:
        """
        Write what was collected, one object per model and day.

        What the store does not take is kept for the next time, up to a limit: the newest lines and
        the oldest rows. What is beyond it, or cannot be written at all, is dropped and counted.
        """
        lines, self._lines = self._lines, defaultdict(list)
        rows, self._rows = self._rows, defaultdict(list)
        for model, some in lines.items():
            left = await self._write_days(
                layout.requests_folder, model, _by_day(some, _received_on)
            )
            waiting = [*left, *self._lines[model]]
            self._lines[model] = waiting[-MAX_LINES:]
            self.dropped += len(waiting) - len(self._lines[model])
        for model, some in rows.items():
            left = await self._write_days(layout.served_folder, model, _by_day(some, _happened_on))
            waiting = [*left, *self._rows[model]]
            self._rows[model] = waiting[: self.max_rows]
            self.dropped += len(waiting) - len(self._rows[model])

    async def _write_days(
        self, folder: Callable[[str, date], str], model: str, days: dict[date, list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Write one object per day; return what the store did not take."""
        left: list[dict[str, Any]] = []
        for day, some in days.items():
            try:
                data = await asyncio.to_thread(_as_parquet, some)
            except Exception:
                self.dropped += len(some)
                log.exception("%s: %d entries of the request log were dropped", model, len(some))
                continue
            name = f"{self.replica}-{self.clock():%H%M%S}-{next(self._numbers):06d}.parquet"
            try:
                await asyncio.to_thread(self.store.put, f"{folder(model, day)}/{name}", data)
            except Exception as error:  # noqa: BLE001 - a full disk must not stop the answers
                log.warning(
                    "%s: %d entries of the request log were not written, they are tried again: %s",
                    model,
                    len(some),
                    error,
                )
                left += some
        return left


def _as_parquet(entries: list[dict[str, Any]]) -> bytes:
    import pandas as pd  # in the thread that writes: pandas takes a second to import

    from evergreen.data.parquet import to_parquet

    frame = pd.DataFrame(entries).drop(columns=EVENT_DAY, errors="ignore")
    texts = {"version": "str"} if "version" in frame else {}
    return to_parquet(frame.astype(texts))


def _received_on(line: dict[str, Any]) -> date:
    found: datetime = line["received_at"]
    return found.date()


def _happened_on(row: dict[str, Any]) -> date:
    found: date = row[EVENT_DAY]
    return found


def _by_day(
    entries: list[dict[str, Any]], day_of_entry: Callable[[dict[str, Any]], date]
) -> dict[date, list[dict[str, Any]]]:
    found: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        found[day_of_entry(entry)].append(entry)
    return found


VERSION, RECEIVED_AT, EVENT_DAY = "served_version", "served_received_at", "served_event_day"
#: Prefix of the columns that name the entity, which may be inputs too.
KEY = "key_"


def served_row(
    spec: ModelSpec, rows: RequestRows, at: int, *, version: str, now: datetime
) -> dict[str, Any]:
    """Return row number *at* as the server logs it: inputs by name, the entity's key as text."""
    found: dict[str, Any] = {}
    for name, values in rows.inputs.items():
        value = values[at]
        is_number = name in spec.examples.numeric and value is not None
        found[name] = float(value) if is_number else value
    for name, values in (rows.keys or {}).items():
        found[f"{KEY}{name}"] = str(values[at])
    times = rows.event_times
    return found | {
        VERSION: version,
        RECEIVED_AT: now,
        EVENT_DAY: day_of(times[at] if times is not None else None) or now.date(),
    }
