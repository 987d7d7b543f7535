"""One function says at which instant a run lives, whatever started it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.data.partitions import days_needed
from evergreen.errors import AsOfError
from evergreen.spec import load_spec
from evergreen_airflow.run_context import (
    actor_of,
    as_of_of,
    as_of_or_now,
    decision_id,
    first_day_of,
    is_backfill,
    is_scheduled,
    number_of,
    range_of,
    reason_of,
)

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
NIGHT = datetime(2026, 11, 24, 6, tzinfo=UTC)
SAMPLE = "flight_delay"


def context(*, kind="manual", conf=None, interval=None, events=(), **params):
    defaults = {"as_of": None, "reason": "triggered by hand", "dry_run": False}
    found = {
        "dag": SimpleNamespace(params=defaults | params),
        "task": SimpleNamespace(params={}),
        "dag_run": SimpleNamespace(conf=conf, run_after=NOW, run_type=kind),
        "params": defaults | params | (conf or {}),  # as Airflow merges them
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


@pytest.mark.parametrize(
    ("kind", "is_by_schedule"),
    [("scheduled", True), ("manual", False), ("asset_triggered", False), ("backfill", False)],
)
def test_only_a_run_of_the_schedule_waits_for_a_red_day(kind, is_by_schedule):
    assert is_scheduled(context(kind=kind)) is is_by_schedule


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
    """It is taken from when the run was triggered, so clearing it later changes nothing."""
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
        (context(conf={"asof": "2013-07-01"}), r"'asof': did you mean 'as_of'\?"),
        (context(conf={"dryrun": True}), r"'dryrun': did you mean 'dry_run'\?"),
        (
            context(
                kind="backfill",
                interval=(NIGHT - timedelta(days=1), NIGHT),
                as_of="2013-07-01T00:00:00Z",
            ),
            "one as_of for all of them",
        ),
        (context(conf={"reason": "x" * 20_000}), "longer than 10000 characters"),
    ],
)
def test_a_run_without_a_usable_instant_is_refused(run, says):
    with pytest.raises(AsOfError, match=says):
        as_of_of(run, now=NOW)


def test_acting_on_the_present_needs_no_date():
    assert as_of_or_now(context(), now=NOW) == NOW
    assert as_of_or_now(context(as_of=NIGHT.isoformat()), now=NOW) == NIGHT
    with pytest.raises(AsOfError, match="is in the future"):
        as_of_or_now(context(as_of="2026-12-24T00:00:00Z"), now=NOW)


def test_a_range_of_days_includes_both_ends():
    first, last = range_of(context(first="2013-05-01", last="2013-05-02"))

    assert first == datetime(2013, 5, 1, tzinfo=UTC)
    assert last == datetime(2013, 5, 2, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"first": "2013-05-02", "last": "2013-05-01"}, "ends on 2013-05-01 and begins on"),
        ({"first": "May", "last": "2013-05-01"}, "'May' is no date"),
    ],
)
def test_a_range_that_is_none_is_refused(params, says):
    with pytest.raises(AsOfError, match=says):
        range_of(context(**params))


def test_the_ledger_learns_which_run_and_which_person():
    run = SimpleNamespace(dag_id="m__rollback", run_id="r1", triggering_user_name="vera")

    assert actor_of({"dag_run": run}) == "airflow run m__rollback r1 by vera"
    run.triggering_user_name = None
    assert actor_of({"dag_run": run}) == "airflow run m__rollback r1"


def asked(*, run_id="r1", after=NOW, task_id="t", map_index=-1):
    return {
        "dag_run": SimpleNamespace(dag_id="m__rollback", run_id=run_id, run_after=after),
        "ti": SimpleNamespace(task_id=task_id, map_index=map_index),
    }


def test_every_try_of_a_run_has_one_identity_and_no_other_run_has_it():
    others = [
        asked(run_id="r2"),
        asked(after=NOW + timedelta(seconds=1)),  # deleted, and made again under the same name
        asked(task_id="u"),
        asked(map_index=0),
    ]

    assert decision_id(asked()) == decision_id(asked())
    assert len({decision_id(one) for one in [asked(), *others]}) == 5


def test_a_backfill_is_known_by_its_kind():
    assert is_backfill(context(kind="backfill"))
    assert not is_backfill(context(kind="scheduled"))


@pytest.mark.parametrize(
    "asked",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "1969-12-31T00:00:00Z",
        "2200-01-01T00:00:00Z",
    ],
)
def test_an_instant_of_no_data_is_refused_at_once(asked):
    with pytest.raises(AsOfError, match="lies outside the years"):
        as_of_of(context(as_of=asked), now=NOW)


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("0001-01-01", "2013-05-01", "lies outside the years"),
        ("2013-05-01", "9999-12-31", "lies outside the years"),
        ("2013-05-01", "2150-01-01", "is not over"),
    ],
)
def test_a_range_beyond_all_data_is_refused(first, last, says):
    with pytest.raises(AsOfError, match=says):
        range_of(context(first=first, last=last))


@pytest.mark.parametrize("conf", [["as_of"], "as_of", 7])
def test_a_configuration_that_is_no_mapping_is_refused(conf):
    run = context()
    run["dag_run"].conf = conf

    with pytest.raises(AsOfError, match="expected keys with values"):
        as_of_of(run, now=NOW)


def test_a_configuration_that_airflow_did_not_pass_on_is_refused():
    """With dag_run_conf_overrides_params off, a dry run would be a real one."""
    run = context(conf={"dry_run": True})
    run["params"]["dry_run"] = False

    with pytest.raises(AsOfError, match="dag_run_conf_overrides_params"):
        as_of_of(run, now=NOW)


@pytest.mark.parametrize("value", [5, 5.0, "5", "5.0"])
def test_a_whole_number_is_one_however_it_is_written(value):
    assert number_of(context(version=value), "version") == 5


@pytest.mark.parametrize("value", ["five", 5.5, [5], "1e400", "nan"])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(AsOfError, match="no whole number"):
        number_of(context(version=value), "version")


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
DAYS = ["* * *", "* * 1-5", "* * 0", "1 * *", "L * *", "*/3 * *"]


@settings(max_examples=80, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    days=st.sampled_from(DAYS),
    zone=st.sampled_from([*ZONES, "America/Santiago", "Pacific/Apia", "Africa/Cairo"]),
    year=st.integers(2010, 2026),
)
def test_each_day_is_scored_by_exactly_one_run(minute, hour, days, zone, year):
    """Property: a year of any schedule in any time zone leaves out and repeats no UTC day."""
    timetable, spec = CronDataIntervalTimetable(f"{minute} {hour} {days}", zone), load_spec(SAMPLE)
    begin = datetime(year, 1, 1, tzinfo=UTC)
    restriction = TimeRestriction(earliest=begin, latest=None, catchup=True)
    interval, scored = None, []
    for _ in range(370):
        run = timetable.next_dagrun_info(
            last_automated_data_interval=interval, restriction=restriction
        )
        interval = run.data_interval
        asked = context(kind="scheduled", interval=(interval.start, interval.end))
        needed = days_needed(
            spec,
            as_of=as_of_of(asked, now=datetime(2100, 1, 1, tzinfo=UTC)),
            scope="scoring",
            first_day=first_day_of(asked),
        )
        scored += list(needed)
        if interval.end > begin + timedelta(days=366):
            break

    assert scored == [scored[0] + timedelta(days=n) for n in range(len(scored))]
    assert len(scored) >= 300


def test_a_run_for_an_instant_scores_one_day():
    run = context(interval=(NIGHT - timedelta(days=7), NIGHT), as_of=NIGHT.isoformat())

    assert first_day_of(run) is None
