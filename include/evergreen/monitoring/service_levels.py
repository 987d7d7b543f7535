"""
Read what the model server did on one day from its request log.

The log is an interface: any number of Parquet objects ``requests/<model>/<day>/*.parquet``, one
line per request or per sampled request, without any input. Columns: ``received_at`` (UTC),
``duration_ms``, ``status`` (HTTP), ``version`` (null if none answered) and ``weight``, the number
of requests a line stands for: 1 when everything is logged, 1/rate when a share of it is.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from evergreen.data.window import DayRange, scoring_day
from evergreen.errors import MonitoringError
from evergreen.receipts.monitoring import ServiceReceipt
from evergreen.spec import ModelSpec
from evergreen.spec.monitoring import Service
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, find_or_make
from evergreen.values import Frozen

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("received_at", "duration_ms", "status", "version", "weight")
#: The server's own error; what a caller did wrong is not an error of the service.
FIRST_SERVER_ERROR = 500
#: Days of traffic that say what is usual, and the fewest that do.
USUAL_DAYS = 28
MIN_USUAL_DAYS = 7


class DayOfRequests(Frozen):
    """One day of one server: milliseconds at three quantiles, and what share failed."""

    day: date
    requests: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    error_rate: float
    by_version: dict[str, float]


def measure_service(store: ObjectStore, spec: ModelSpec, *, as_of: datetime) -> ServiceReceipt:
    """
    Hold response time, errors and traffic of the newest whole day at *as_of* against the spec.

    Red: p95 or error rate beyond its limit. Amber: far less traffic than usual. Safe to repeat: a
    day's log is read once as long as it does not change.

    :raises MonitoringError: If there is no log of the day, or none that can be read.
    """
    limits = spec.service or Service()
    day = scoring_day(as_of)
    found = _day(store, spec, day)
    if found is None:
        raise MonitoringError(
            f"The model server of {spec.model} logged no request on {day}: nothing under "
            f"{layout.requests_folder(spec.model, day)}/. Check that it runs and "
            "where it writes, then clear this task; a model that is not served online needs no "
            "service in model.yaml."
        )
    past = [_day(store, spec, d) for d in DayRange(first=day - timedelta(days=USUAL_DAYS), end=day)]
    traffic = [known.requests for known in past if known is not None]
    usual = median(traffic) if len(traffic) >= MIN_USUAL_DAYS else None
    broken = []
    if found.p95_ms > limits.p95_ms:
        broken.append(f"service: p95 {found.p95_ms:.1f} ms, {limits.p95_ms:g} are allowed")
    if found.error_rate > limits.max_error_rate:
        broken.append(
            f"service: {found.error_rate:.2%} of requests failed, {limits.max_error_rate:.2%} may"
        )
    quiet = []
    if usual is not None and found.requests < limits.min_traffic_share * usual:
        quiet.append(f"service: {found.requests:.0f} requests were received, usual are {usual:.0f}")
    return ServiceReceipt(
        model=spec.model,
        as_of=as_of,
        day=day,
        colour="red" if broken else "amber" if quiet else "green",
        reasons=(*broken, *quiet),
        requests=found.requests,
        usual_requests=usual,
        p50_ms=found.p50_ms,
        p95_ms=found.p95_ms,
        p99_ms=found.p99_ms,
        error_rate=found.error_rate,
        by_version=found.by_version,
    )


def _day(store: ObjectStore, spec: ModelSpec, day: date) -> DayOfRequests | None:
    heads = {
        key: store.head(key) for key in store.list(f"{layout.requests_folder(spec.model, day)}/")
    }
    logs = {key: head.fingerprint for key, head in heads.items() if head is not None}
    if not logs:
        return None
    cache_key = digest_of(*(f"{key} {mark}" for key, mark in logs.items()))
    key = layout.service_summary(spec.model, day, cache_key)
    return find_or_make(
        store, key, DayOfRequests, lambda: _summarise(_read(store, list(logs)), day)
    )[0]


def _read(store: ObjectStore, keys: list[str]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    from evergreen.data.parquet import from_parquet

    frames = []
    for key in keys:
        try:
            rows = from_parquet(store.get(key))
        except (pa.ArrowInvalid, OSError) as error:
            raise MonitoringError(
                f"{key} is no whole Parquet file ({error}). Nothing was measured. Remove it, or "
                "have the server write it again, then clear this task."
            ) from error
        if lost := sorted(set(COLUMNS) - set(rows.columns)):
            raise MonitoringError(
                f"{key} has no {', '.join(lost)}; a request log has {', '.join(COLUMNS)}. Nothing "
                "was measured. Have it written in that form, then clear this task."
            )
        frames.append(rows[list(COLUMNS)])
    found = pd.concat(frames, ignore_index=True)
    if not (found["weight"] > 0).all() or found["duration_ms"].isna().any():
        raise MonitoringError(
            f"{keys[0]} and the objects beside it hold lines without a duration or with a weight "
            "that is not above 0. Nothing was measured. Repair the log, then clear this task."
        )
    return found


def _summarise(rows: pd.DataFrame, day: date) -> DayOfRequests:
    import numpy as np

    weight = rows["weight"].to_numpy(dtype=float)
    p50, p95, p99 = np.quantile(
        rows["duration_ms"].to_numpy(dtype=float),
        [0.5, 0.95, 0.99],
        weights=weight,
        method="inverted_cdf",
    )
    failed = (rows["status"] >= FIRST_SERVER_ERROR).to_numpy()
    by_version = rows["weight"].groupby(rows["version"].fillna("none").astype(str)).sum()
    return DayOfRequests(
        day=day,
        requests=float(weight.sum()),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        error_rate=float(weight[failed].sum() / weight.sum()),
        by_version={str(name): float(total) for name, total in by_version.items()},
    )
