"""The model server's day, from a recorded request log."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from evergreen.data.parquet import to_parquet
from evergreen.errors import MonitoringError
from evergreen.monitoring.service_levels import measure_service
from evergreen.spec import load_spec
from evergreen.spec.monitoring import Service
from evergreen.storage.folder import FolderStore

AS_OF = datetime(2026, 3, 2, 6, tzinfo=UTC)
DAY = date(2026, 3, 1)


@pytest.fixture
def spec():
    return load_spec("flight_delay").model_copy(update={"service": Service(p95_ms=100)})


@pytest.fixture
def log(tmp_path, spec):
    """Record requests of a day, as the server would."""
    store = FolderStore(tmp_path)

    def record(day: date = DAY, *, name: str = "server-1", requests: int = 1000, **columns) -> None:
        rows = pd.DataFrame(
            {
                "received_at": pd.Timestamp(day, tz="UTC"),
                "duration_ms": np.linspace(1, 50, requests),
                "status": 200,
                "version": "3",
                "weight": 1.0,
            }
        ).assign(**columns)
        store.put(f"requests/{spec.model}/{day}/{name}.parquet", to_parquet(rows))

    record.store = store
    return record


def test_an_ordinary_day_is_green_with_its_numbers(log, spec):
    log()
    log(name="server-2", duration_ms=np.linspace(50, 99, 1000), version="4")

    found = measure_service(log.store, spec, as_of=AS_OF)

    assert (found.colour, found.reasons) == ("green", ())
    assert (found.requests, found.by_version) == (2000, {"3": 1000.0, "4": 1000.0})
    assert found.p50_ms == pytest.approx(50, abs=0.1)
    assert found.p95_ms == pytest.approx(94.1, abs=0.1)
    assert found.error_rate == 0


def test_a_sampled_line_counts_for_those_it_stands_for(log, spec):
    """Every error is logged, of the rest one in ten."""
    status = np.where(np.arange(1000) < 20, 503, 200)
    log(status=status, weight=np.where(status == 503, 1.0, 10.0))

    found = measure_service(log.store, spec, as_of=AS_OF)

    assert found.requests == 9820
    assert found.error_rate == pytest.approx(20 / 9820)
    assert found.colour == "green"


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"duration_ms": np.linspace(1, 200, 1000)}, "p95 190.0 ms, 100 are allowed"),
        ({"status": np.where(np.arange(1000) < 20, 500, 200)}, "2.00% of requests failed"),
    ],
)
def test_a_broken_promise_is_red(log, spec, columns, why):
    log(**columns)

    found = measure_service(log.store, spec, as_of=AS_OF)

    assert found.colour == "red"
    assert not found.requests_retrain  # another model would not be faster
    assert why in found.reasons[0]


def test_what_callers_do_wrong_is_no_error_of_the_service(log, spec):
    log(status=422)

    assert measure_service(log.store, spec, as_of=AS_OF).colour == "green"


def test_traffic_that_dries_up_is_amber(log, spec):
    for back in range(1, 9):
        log(DAY - timedelta(days=back))
    log(requests=50)

    found = measure_service(log.store, spec, as_of=AS_OF)

    assert found.colour == "amber"
    assert found.reasons == ("service: 50 requests were received, usual are 1000",)


def test_a_silent_server_is_no_healthy_one(log, spec):
    log(DAY - timedelta(days=1))

    with pytest.raises(MonitoringError, match="logged no request on 2026-03-01"):
        measure_service(log.store, spec, as_of=AS_OF)


def test_a_log_in_another_form_is_refused_by_name(log, spec):
    log.store.put(
        f"requests/{spec.model}/{DAY}/odd.parquet", to_parquet(pd.DataFrame({"status": [200]}))
    )

    with pytest.raises(MonitoringError, match="has no duration_ms, received_at, version, weight"):
        measure_service(log.store, spec, as_of=AS_OF)


def test_a_half_written_log_is_refused(log, spec):
    log.store.put(f"requests/{spec.model}/{DAY}/half.parquet", b"PAR1")

    with pytest.raises(MonitoringError, match="no whole Parquet file"):
        measure_service(log.store, spec, as_of=AS_OF)


def test_a_day_is_read_once_and_again_when_it_grows(log, spec):
    log()
    first = measure_service(log.store, spec, as_of=AS_OF)
    kept = list(log.store.list("service/"))
    again = measure_service(log.store, spec, as_of=AS_OF)

    assert (again, list(log.store.list("service/"))) == (first, kept)

    log(name="server-2")

    assert measure_service(log.store, spec, as_of=AS_OF).requests == 2000
