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
from datetime import UTC, date, datetime
from typing import Any

from evergreen.serving.inputs import RequestRows
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
        """Note whole rows that say which entity they are, while there is room."""
        room = self.max_rows - len(self._rows[spec.model])
        if rows.keys is None or room <= 0:
            return
        kept = self._rows[spec.model]
        for at in range(min(rows.count, room)):
            kept.append(served_row(spec, rows, at, version=versions[at], now=self.clock()))

    async def flush(self) -> None:
        """Write what was collected; what the store does not take is kept for the next time."""
        lines, self._lines = self._lines, defaultdict(list)
        rows, self._rows = self._rows, defaultdict(list)
        try:
            await asyncio.to_thread(self._write, lines, rows)
        except Exception as error:  # noqa: BLE001 - a full disk must not stop the answers
            log.warning("the request log was not written, it is tried again: %s", error)
            for model, some in lines.items():
                self._lines[model] = [*some, *self._lines[model]][-MAX_LINES:]

    def _write(
        self, lines: dict[str, list[dict[str, Any]]], rows: dict[str, list[dict[str, Any]]]
    ) -> None:
        import pandas as pd  # in the thread that writes: pandas takes a second to import

        for model, some in list(lines.items()):
            frame = pd.DataFrame(some).astype({"version": "str"})
            self._put(layout.requests_folder, model, frame, frame["received_at"].dt.date)
            del lines[model]
        for model, some in list(rows.items()):
            frame = pd.DataFrame(some)
            if len(frame):
                self._put(
                    layout.served_folder, model, frame.drop(columns=EVENT_DAY), frame[EVENT_DAY]
                )
            del rows[model]

    def _put(self, folder: Callable[[str, date], str], model: str, frame: Any, days: Any) -> None:
        from evergreen.data.parquet import to_parquet

        for day, part in frame.groupby(days):
            name = f"{self.replica}-{self.clock():%H%M%S}-{next(self._numbers):06d}.parquet"
            self.store.put(f"{folder(model, day)}/{name}", to_parquet(part))


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
        EVENT_DAY: _day_of(times[at] if times is not None else None) or now.date(),
    }


def _day_of(event_time: Any) -> date | None:
    """Return the UTC day of an instant a caller named, or None if it is none."""
    try:
        found = datetime.fromisoformat(str(event_time))
    except ValueError:
        return None
    return (found.astimezone(UTC) if found.tzinfo else found).date()
