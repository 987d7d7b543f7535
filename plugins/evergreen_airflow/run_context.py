"""The instant a run lives at, and why: the one place that knows Airflow's dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from evergreen.data.window import start_of
from evergreen.errors import AsOfError
from evergreen.spec.checks import FIRST_DATE, LAST_DATE
from evergreen_airflow.params import REASON

if TYPE_CHECKING:
    from airflow.sdk import Context

#: A trigger's configuration larger than this is a mistake, not a request.
MAX_CONF_CHARS = 10_000


def as_of_of(context: Context, *, now: datetime) -> datetime:
    """
    Return the instant the run of *context* lives at, in UTC.

    In order: the ``as_of`` param; the end of the data interval; the ``as_of`` of the newest asset
    event; the last midnight at or before the run was triggered, which clearing does not change.

    :raises AsOfError: If the run gives a bad ``as_of``, one after *now*, or an empty interval.
    """
    dag_run = context["dag_run"]
    validate_conf(context)
    if asked := context["params"].get("as_of"):
        _refuse_backfill_at_one_instant(context)
        as_of = parse_instant(asked)
    elif (end := context.get("data_interval_end")) is not None:
        if end == context.get("data_interval_start"):
            raise AsOfError(
                f"The data interval of this run is empty: it starts and ends at {end}. The DAG "
                "needs CronDataIntervalTimetable, not a bare cron string; or give as_of."
            )
        as_of = end.astimezone(UTC)
    elif asked := _newest_event(context).get("as_of"):
        as_of = parse_instant(asked)
    else:
        asked_at = dag_run.run_after.astimezone(UTC)
        as_of = datetime(asked_at.year, asked_at.month, asked_at.day, tzinfo=UTC)
    as_of = as_of.replace(microsecond=0)
    _refuse_future(as_of, now=now)
    return as_of


def first_day_of(context: Context) -> date | None:
    """
    Return the first UTC day that ends within the data interval of the run; None without one.

    The intervals of a schedule follow each other without a gap, so each day ends in exactly one of
    them: none where clocks go forward at midnight, two where they go back, seven in a week's.
    """
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if context["params"].get("as_of") or start is None or end is None:
        return None
    first: date = start.astimezone(UTC).date()
    return first


def as_of_or_now(context: Context, *, now: datetime) -> datetime:
    """
    Return the ``as_of`` param of a run made by hand, or *now*: acting on the present needs no date.

    :raises AsOfError: If the run gives a bad ``as_of``, or one after *now*.
    """
    return _instant_or_now(context, "as_of", now=now)


def serves_from_or_now(context: Context, *, now: datetime) -> datetime:
    """
    Return the ``serves_from`` param of a rollback, or *now*.

    :raises AsOfError: If the run gives a bad instant, or one after *now*.
    """
    return _instant_or_now(context, "serves_from", now=now)


def _instant_or_now(context: Context, param: str, *, now: datetime) -> datetime:
    validate_conf(context)
    asked = context["params"].get(param)
    instant = parse_instant(asked) if asked else now
    _refuse_future(instant, now=now)
    return instant


def range_of(context: Context) -> tuple[datetime, datetime]:
    """
    Return the params ``first`` and ``last`` of a run as instants: the start of one, the end of one.

    :raises AsOfError: If one is no date, or ``last`` lies before ``first``.
    """
    validate_conf(context)
    first, last = (_parse_date(context["params"][name]) for name in ("first", "last"))
    if last < first:
        raise AsOfError(f"The range ends on {last} and begins on {first}. Turn it round.")
    if last >= (today := datetime.now(UTC).date()):
        raise AsOfError(
            f"The range ends on {last}, and {today} is not over. End it on a day that has passed."
        )
    return start_of(first), start_of(last + timedelta(days=1)) - timedelta(microseconds=1)


def reason_of(context: Context) -> str:
    """Say in one line why the run exists: who or what triggered it."""
    kind = str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type))
    if kind == "asset_triggered":
        return f"requested: {_newest_event(context).get('reason', 'no reason given')}"
    if kind in ("scheduled", "backfill"):
        return kind
    return f"{kind}: {context['params'].get('reason', REASON.value)}"


def is_scheduled(context: Context) -> bool:
    """Return whether the schedule started the run: no person, no monitor and no backfill did."""
    kind = context["dag_run"].run_type
    return str(getattr(kind, "value", kind)) == "scheduled"


def identity_of(context: Context) -> dict[str, str]:
    """Return which Airflow run made something, as tags."""
    dag_run, bundle = context["dag_run"], getattr(context["ti"], "bundle_instance", None)
    return {
        "airflow.dag_id": dag_run.dag_id,
        "airflow.run_id": dag_run.run_id,
        "airflow.bundle_version": str(getattr(bundle, "version", None) or "unversioned"),
    }


def actor_of(context: Context) -> str:
    """Return who is behind a run, for the ledger: the Airflow run and the person who started it."""
    dag_run = context["dag_run"]
    person = getattr(dag_run, "triggering_user_name", None)
    by = f" by {person}" if person else ""
    return f"airflow run {dag_run.dag_id} {dag_run.run_id}{by}"


def decision_id(context: Context) -> str:
    """
    Return the identity of a decision: the same in every try of one task of one run, cleared or not.

    A run that is deleted and made again under the same name is another run: it was triggered at
    another time.
    """
    dag_run, ti = context["dag_run"], context["ti"]
    asked_at = dag_run.run_after.astimezone(UTC).isoformat()
    return f"{dag_run.dag_id} {dag_run.run_id} {asked_at} {ti.task_id} {ti.map_index}"


def is_backfill(context: Context) -> bool:
    """Return whether the run replays the past for a backfill."""
    kind = context["dag_run"].run_type
    return str(getattr(kind, "value", kind)) == "backfill"


def parse_instant(text: str) -> datetime:
    """
    Return the instant *text* names, in UTC.

    :raises AsOfError: If it is not ISO 8601 with a time zone, or in no year that data can be of.
    """
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise AsOfError(
            f"as_of {text!r} is not an instant with a time zone. Expected for example "
            "2013-07-01T00:00:00Z."
        )
    if not FIRST_DATE.year < found.year < LAST_DATE.year:  # at its edge there is no other zone
        raise AsOfError(
            f"as_of {text!r} lies outside the years {FIRST_DATE.year + 1} to {LAST_DATE.year - 1}. "
            "Nothing was done. Start a new run with an instant of the data."
        )
    return found.astimezone(UTC)


def _refuse_future(as_of: datetime, *, now: datetime) -> None:
    if as_of > now:
        raise AsOfError(
            f"as_of {as_of.isoformat()} is in the future (now {now.isoformat()}), and no label of "
            "the future is known. Trigger the run with an as_of that has passed."
        )


def _refuse_backfill_at_one_instant(context: Context) -> None:
    if is_backfill(context):
        raise AsOfError(
            "A backfill gives each of its runs an as_of of its own, the end of the data interval. "
            "Its configuration sets one as_of for all of them. Nothing was done. Start the "
            "backfill again without as_of."
        )


def _parse_date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except (TypeError, ValueError):
        raise AsOfError(f"{text!r} is no date. Expected for example 2013-07-01.") from None
    if not FIRST_DATE.year < found.year < LAST_DATE.year:
        raise AsOfError(
            f"{text!r} lies outside the years {FIRST_DATE.year + 1} to {LAST_DATE.year - 1}. "
            "Nothing was done. Start a new run with dates of the data."
        )
    return found


def validate_conf(context: Context) -> None:
    """
    Refuse a run whose configuration holds anything but params of its DAG.

    Compared with what DAG and task declare, never with ``context["params"]``: Airflow has merged
    the configuration into those before a task sees them.

    :raises AsOfError: If a key is unknown, or the configuration is too long for a request.
    """
    conf = context["dag_run"].conf or {}
    known = sorted({*context["dag"].params, *context["task"].params})
    if len(str(conf)) > MAX_CONF_CHARS:
        raise AsOfError(f"The run's configuration is longer than {MAX_CONF_CHARS} characters.")
    if not isinstance(conf, Mapping):
        raise AsOfError(
            f"The run's configuration is a {type(conf).__name__}; expected keys with values, for "
            'example {"as_of": "2013-07-01T00:00:00Z"}. Nothing was done.'
        )
    if unknown := sorted(str(key) for key in conf if key not in known):
        close = {key: get_close_matches(key, known, n=1) for key in unknown}
        meant = [f"{key!r}: did you mean {found[0]!r}?" for key, found in close.items() if found]
        raise AsOfError(
            " ".join(
                [
                    f"The run's configuration has unknown keys {unknown}; known are {known}.",
                    *meant,
                    "Nothing was done. Start a new run with known keys only.",
                ]
            )
        )
    if ignored := sorted(key for key in conf if context["params"].get(key) != conf[key]):
        raise AsOfError(
            f"Airflow did not pass on {ignored} of the run's configuration. Nothing was done. Set "
            "[core] dag_run_conf_overrides_params to True, its default, and start a new run."
        )


def number_of(context: Context, param: str) -> int | None:
    """
    Return a whole number that the run gives, as ``5`` or ``5.0``; None if it gives none.

    :raises AsOfError: If it is no whole number.
    """
    value: Any = context["params"].get(param)
    if value in (None, ""):
        return None
    try:
        if float(value) != (number := int(float(value))):
            raise ValueError(value)
    except (TypeError, ValueError, OverflowError):
        raise AsOfError(f"{param} {value!r} is no whole number, expected for example 5.") from None
    return number


def _newest_event(context: Context) -> dict[str, Any]:
    """Return the ``extra`` of the newest event that started the run; several fold into one run."""
    by_asset = context.get("triggering_asset_events") or {}
    events = [event for events in by_asset.values() for event in events]
    newest = max(events, key=lambda event: event.timestamp, default=None)
    return dict(newest.extra or {}) if newest else {}
