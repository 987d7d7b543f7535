"""
Texts of a spec that something reads only later: schedules, time zones, keys, patterns, names.

Each is checked as its reader will read it, so that the error is the spec's, with file and key, and
not the failure of a DAG file or of a task at night.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from itertools import islice, pairwise
from string import Formatter
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter  # type: ignore[import-untyped]
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from evergreen.keys import checked_key
from evergreen.spec.formatting import shown

#: What Airflow resolves itself; five fields otherwise.
PRESETS = {"@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
#: Airflow describes a schedule in words, and keeps at most 1,000 characters of them.
MAX_SCHEDULE_CHARS = 100
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12, or jan to dec"),
    ("day of the week", "0 to 7, or sun to sat"),
)
#: Any instant will do; one of ours gives the same answer every day.
_SOME_INSTANT = datetime(2024, 1, 1)  # noqa: DTZ001 - croniter counts in local time
#: Outside, time zones have no rules and timestamps of pandas no room.
FIRST_DATE, LAST_DATE = date(1970, 1, 1), date(2199, 12, 31)
#: Not places: copies of the data base, and what a machine is set to.
_NO_PLACES = {"Factory", "localtime", "posixrules"}
#: Names of one folder or file: most file systems take 255 bytes.
MAX_NAME_BYTES = 200
#: Keys in S3 have at most 1,024 bytes; what the store's own prefix needs is left.
MAX_KEY_BYTES = 800


def checked_schedule(schedule: str) -> str:
    """Return *schedule* if Airflow can run by it; raises ValueError otherwise."""
    if schedule in PRESETS:
        return schedule
    fields = schedule.split(" ")
    if len(schedule) > MAX_SCHEDULE_CHARS or len(fields) != 5 or not all(fields):
        raise ValueError(
            f"schedule must be five cron fields such as '0 6 * * *', of at most "
            f"{MAX_SCHEDULE_CHARS} characters, or one of {', '.join(PRESETS)}; found "
            f"{shown(schedule)}"
        )
    for n, (name, allowed) in enumerate(_FIELDS):
        alone = ["*"] * 5
        alone[n] = fields[n]
        # R stands for a random number: each parse of the DAG would have another schedule.
        if re.search(r"(^|,)[hr]", fields[n].lower()) or not _is_cron(" ".join(alone)):
            raise ValueError(
                f"found {shown(fields[n])} as the {name}; expected {allowed}, *, ranges, lists or "
                "steps, for example '0 6 * * *' for six o'clock each day"
            )
    minutes, hours, *_ = croniter.expand(schedule)[0]
    if len(minutes) > 1 or len(hours) > 1 or "*" in (minutes[0], hours[0]):
        raise ValueError(
            f"found {shown(schedule)}, which is due more than once a day; expected one time of the "
            "day, for example '0 6 * * *': data come by days, and a second run would use the same"
        )
    if not _fires(schedule):
        raise ValueError(
            f"found {shown(schedule)}, which is never due; expected days that exist, for example "
            "'0 6 1 * *' for the first of each month"
        )
    return schedule


@lru_cache(maxsize=1_000)
def hours_between(schedule: str) -> tuple[float, float]:
    """Return the least and the most hours between the next 60 runs of a checked *schedule*."""
    fields = PRESETS.get(schedule, schedule).split(" ")
    if fields[2:] == ["*", "*", "*"]:
        return 24.0, 24.0
    due = list(islice(croniter(" ".join(fields), _SOME_INSTANT).all_next(datetime), 60))
    gaps = [(later - earlier).total_seconds() / 3600 for earlier, later in pairwise(due)]
    return min(gaps, default=24.0 * 366), max(gaps, default=24.0 * 366)


def _is_cron(expression: str) -> bool:
    try:
        croniter(expression, _SOME_INSTANT)
    except Exception:  # noqa: BLE001 - whatever the parser of Airflow stumbles over is no schedule
        return False
    return True


def _fires(expression: str) -> bool:
    try:
        croniter(expression, _SOME_INSTANT).get_next(datetime)
        croniter(expression, _SOME_INSTANT).get_prev(datetime)
    except Exception:  # noqa: BLE001 - the same
        return False
    return True


def checked_time_zone(name: str) -> str:
    """Return *name* if it is a time zone for Python and Airflow; raises ValueError otherwise."""
    try:
        if not re.fullmatch(r"\w[\w+-]*(/\w[\w+-]*)*", name, re.ASCII) or (
            name.split("/")[0] in {"posix", "right", *_NO_PLACES}
        ):
            raise ValueError(name)
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        raise ValueError(
            f"found {shown(name)}; expected the name of a time zone, for example "
            f"{_near(name) or 'Europe/Berlin'}"
        ) from None
    return name


def _near(name: str) -> str | None:
    """Return the time zone whose name, or whose city, is most like *name*."""
    by_text = {zone.rpartition("/")[2].lower(): zone for zone in sorted(available_timezones())}
    by_text |= {zone.lower(): zone for zone in by_text.values()}
    asked = name[:50].lower().replace(" ", "_")
    for text in (asked, asked.rpartition("/")[2]):
        if close := difflib.get_close_matches(text, by_text, n=1, cutoff=0.75):
            return by_text[close[0]]
    return None


def checked_date(value: object) -> date:
    """Return *value* as a date; raises ValueError if it is none, or out of range."""
    found = value
    if isinstance(value, str):
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = None
    if not isinstance(found, date) or isinstance(found, datetime):
        raise ValueError(
            f"found {shown(value)}; expected a date that exists, for example 2026-01-31"
        )
    if not FIRST_DATE <= found <= LAST_DATE:
        raise ValueError(f"found {found}; expected a date from {FIRST_DATE} to {LAST_DATE}")
    return found


def checked_path(path: str) -> str:
    """Return *path* if it is a key once ``{day}`` is filled in; raises ValueError otherwise."""
    example = "for example raw/orders/{day}.parquet"
    try:
        parts = list(Formatter().parse(path))
    except ValueError:
        raise ValueError(
            f"found {shown(path)}; its braces do not match. Write {{day}} once, {example}"
        ) from None
    fields = [name for _, name, _, _ in parts if name is not None]
    if fields != ["day"]:
        raise ValueError(
            "path must hold {day} once and no other placeholder, found "
            f"{shown(fields) if fields else 'none'}; "
            "write for example raw/orders/{day}.parquet"
        )
    if any(form or conversion for _, _, form, conversion in parts):
        raise ValueError(
            f"found {shown(path)}; the day is always written as 2026-01-31. Write {{day}} alone, "
            f"{example}"
        )
    key = path.format(day="2026-01-31")
    try:
        checked_key(key)
    except ValueError:
        raise ValueError(
            f"found {shown(path)}; expected a key of the object store: names of letters, digits "
            "and ._=+@- joined by single slashes, none of them '.' or '..'. Leave out the bucket, "
            f"a slash at the beginning, spaces and wildcards, {example}"
        ) from None
    longest = max(len(name.encode()) for name in key.split("/"))
    if longest > MAX_NAME_BYTES or len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(
            f"found {shown(path)}, a key of {len(key.encode())} bytes; expected at most "
            f"{MAX_KEY_BYTES}, and {MAX_NAME_BYTES} between two slashes. Write a shorter one"
        )
    return path


def checked_pattern(pattern: str) -> str:
    """Return *pattern* if it is a regular expression; raises ValueError otherwise."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"found {shown(pattern)}, which is no regular expression ({error}); expected one, for "
            r"example [A-Z]{3}. Write \ before a character such as ( that stands for itself"
        ) from None
    return pattern


def _matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Return what refuses a text that is not like *pattern*, and says what was *expected*."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"found {shown(text)}; expected {expected}")
        return text

    return check


#: Airflow's tasks, tags and owners are lines of text; Airflow keeps so many characters of them.
OneLine = AfterValidator(
    _matching(r"\S(.*\S)?", "one line of text without spaces at its begin and end")
)
Tag = Annotated[str, StringConstraints(max_length=100), OneLine]
Owner = Annotated[str, StringConstraints(min_length=1, max_length=200), OneLine]
UserName = Annotated[str, StringConstraints(max_length=200), OneLine]
ExecutorName = Annotated[str, StringConstraints(min_length=1, max_length=250), OneLine]
QueueName = Annotated[str, StringConstraints(min_length=1, max_length=250), OneLine]
#: As Airflow itself limits the id of a connection.
ConnectionId = Annotated[
    str,
    StringConstraints(max_length=250),
    AfterValidator(
        _matching(
            r"[\w#!()\-.:/\\]+",
            r"the id of an Airflow connection: letters, digits and _#!()-.:/\ ",
        )
    ),
]
#: Names of raw and prepared columns.
ColumnName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(
        _matching(r"[^\x00-\x1f\x7f\u2028\u2029]+", "the name of a column, on one line")
    ),
]
#: Part of keys in the object store, and how ``prepare`` calls the table.
TableName = Annotated[
    str,
    StringConstraints(max_length=100),
    AfterValidator(
        _matching(
            r"(?!(windows|examples)$)\w[\w.=+@-]*",
            "a name of letters, digits and ._=+@-, such as orders; windows and examples are taken",
        )
    ),
]
Schedule = Annotated[str, AfterValidator(checked_schedule)]
TimeZone = Annotated[str, AfterValidator(checked_time_zone)]
StartDate = Annotated[date, BeforeValidator(checked_date)]
Path = Annotated[str, AfterValidator(checked_path)]
Pattern = Annotated[str, Field(max_length=1_000), AfterValidator(checked_pattern)]
