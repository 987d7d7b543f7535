"""The days around a day that have landed and hold their contract, as prepared examples."""

from __future__ import annotations

import logging
from datetime import date

from evergreen.data.day_validation import day_verdicts, is_open
from evergreen.data.prepared_days import PreparedDay, load_prepare, prepare_day
from evergreen.data.window import DayRange
from evergreen.errors import CandidateError, DataContractError
from evergreen.receipts.data import DayVerdict
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.values import Frozen

log = logging.getLogger(__name__)


class LandedDay(Frozen):
    """One day that can be used: its examples, and its raw columns with their types."""

    prepared: PreparedDay
    raw_columns: dict[str, str]


def landed_days(store: ObjectStore, spec: ModelSpec, *, days: DayRange) -> dict[date, LandedDay]:
    """
    Return those of *days* that can be used, oldest first.

    A past that is not whole is no reason to stop looking at the present: days that are missing,
    break their contract or cannot be prepared are left out, and the log says how many and why the
    newest is; their own nights have failed. Closed days are left out.
    """
    prepare = load_prepare(spec.model)
    found: dict[date, LandedDay] = {}
    left_out: dict[date, str] = {}
    made = 0
    for day in days:
        try:
            verdicts = day_verdicts(store, spec, day)
            if not is_open(spec, day, verdicts):
                continue
            prepared, is_new = prepare_day(store, spec, day=day, verdicts=verdicts, prepare=prepare)
        except (DataContractError, CandidateError) as error:
            left_out[day] = str(error)
            continue
        found[day] = LandedDay(prepared=prepared, raw_columns=_raw_columns(verdicts, day))
        made += is_new
        if is_new and made % 20 == 0:
            log.info("prepared %d new days, now at %s", made, day)
    if left_out:
        log.info(
            "%d of the %d days %s cannot be used, the newest of them is %s: %s",
            len(left_out),
            len(days),
            days,
            *list(left_out.items())[-1],
        )
    return found


def _raw_columns(verdicts: dict[tuple[str, date], DayVerdict], day: date) -> dict[str, str]:
    return {
        f"{table}.{name}": kind
        for (table, of), verdict in verdicts.items()
        if of == day
        for name, kind in verdict.columns.items()
    }
