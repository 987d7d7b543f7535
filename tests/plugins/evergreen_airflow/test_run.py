"""One function says at which instant a run lives, whatever started it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from evergreen.errors import AsOfError
from evergreen_airflow.run import as_of_of, reason_of

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
NIGHT = datetime(2026, 11, 24, 6, tzinfo=UTC)


def context(*, kind="manual", conf=None, interval=None, events=(), **params):
    defaults = {"as_of": None, "reason": "asked for by hand", "dry_run": False}
    found = {
        "dag_run": SimpleNamespace(conf=conf, run_after=NOW, run_type=kind),
        "params": defaults | params,
        "triggering_asset_events": {"asset": list(events)},
    }
    if interval:  # Airflow leaves the keys out for runs without a date
        found |= {"data_interval_start": interval[0], "data_interval_end": interval[1]}
    return found


def event(hour: int, **extra):
    return SimpleNamespace(timestamp=NOW.replace(hour=hour), extra=extra)


def test_a_scheduled_run_lives_at_the_end_of_its_interval():
    run = context(kind="scheduled", interval=(NIGHT - timedelta(days=1), NIGHT))

    assert as_of_of(run, now=NOW) == NIGHT
    assert reason_of(run) == "scheduled"


def test_the_form_wins_over_the_interval():
    run = context(interval=(NIGHT - timedelta(days=1), NIGHT), as_of="2013-07-01T02:00:00+02:00")

    assert as_of_of(run, now=NOW) == datetime(2013, 7, 1, tzinfo=UTC)


def test_manual_and_scheduled_runs_of_the_same_instant_agree():
    scheduled = context(kind="scheduled", interval=(NIGHT - timedelta(days=1), NIGHT))

    assert as_of_of(context(as_of=NIGHT.isoformat()), now=NOW) == as_of_of(scheduled, now=NOW)


def test_an_asset_event_brings_its_instant_and_its_reason():
    newest = event(8, as_of="2026-11-24T06:00:00Z", reason="drift in temp")
    run = context(kind="asset_triggered", events=[newest, event(7, reason="older")])

    assert as_of_of(run, now=NOW) == NIGHT
    assert reason_of(run) == "requested: drift in temp"


def test_a_run_without_any_date_lives_at_the_last_midnight():
    """It is taken from when the run was asked for, so clearing it later changes nothing."""
    run = context()

    assert as_of_of(run, now=NOW) == datetime(2026, 11, 24, tzinfo=UTC)
    assert as_of_of(run, now=NOW + timedelta(days=9)) == datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (context(interval=(NIGHT, NIGHT)), "data interval of this run is empty"),
        (context(as_of="yesterday"), "'yesterday' is not an instant"),
        (context(as_of="2013-07-01"), "with a time zone"),
        (context(as_of="2026-12-24T00:00:00Z"), "is in the future"),
        (context(conf={"as_off": "2013-07-01"}), r"unknown keys \['as_off'\]; known are \['as_of'"),
        (context(conf={"reason": "x" * 20_000}), "longer than 10000 characters"),
    ],
)
def test_a_run_without_a_usable_instant_is_refused(run, says):
    with pytest.raises(AsOfError, match=says):
        as_of_of(run, now=NOW)
