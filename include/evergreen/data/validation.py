"""Hold the days of a window against the contract: each day by itself, and beside its past."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from statistics import median

from evergreen.data.day_validation import is_open, most_common, verdict_of
from evergreen.data.partitions import needed, partition
from evergreen.data.window import DayRange, start_of
from evergreen.errors import DataContractError
from evergreen.receipts.common import Check
from evergreen.receipts.data import DayVerdict, ValidationReceipt, WindowVerdicts
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import canonical_json, put_once, read_document

log = logging.getLogger(__name__)

#: With fewer days than this a median says little, and only ``min_rows`` guards the volume.
MIN_VOLUME_DAYS = 7
#: With fewer of the same weekday all days are compared.
MIN_SAME_WEEKDAYS = 4


def validate_window(
    store: ObjectStore, spec: ModelSpec, *, as_of: datetime, days: DayRange, serving: bool = False
) -> ValidationReceipt:
    """
    Validate every partition that preparing *days* reads.

    Safe to repeat: verdicts are immutable objects, and the same bytes give the same verdict.

    :param serving: Ask nothing of columns that are ``known_later`` and not there yet.
    :raises DataContractError: If a table misses a promise that no quarantine can mend, too many of
        its rows are broken, or the newest day is too small or too old.
    :raises MissingPartitionError: If a partition went away since the run waited for it.
    """
    verdicts: list[DayVerdict] = []
    days_read = 0
    partitions = needed(spec, days=days)
    for part in partitions:
        verdict, is_new = verdict_of(store, spec, part, serving=serving)
        verdicts.append(verdict)
        days_read += is_new
        if is_new and days_read % 20 == 0:
            log.info("validated %d new partitions, now at %s", days_read, part.day)
    history = _history(store, spec, days) if serving else verdicts
    checks = [
        check
        for table in spec.tables
        for check in _table_checks(
            spec, table, verdicts, history=history, own=days if serving else None
        )
    ]
    checks += _closed_days(spec, days, verdicts)
    _refuse_failed(spec, checks)
    record = put_once(
        store,
        layout.validated_windows(spec.model),
        canonical_json({"verdicts": [v.model_dump(mode="json") for v in verdicts]}),
        suffix=".json",
    )
    return ValidationReceipt(
        model=spec.model,
        as_of=as_of,
        record=record,
        days=len({v.day for v in verdicts if not v.closed}),
        days_read=days_read,
        rows=sum(v.rows for v in verdicts),
        quarantined=sum(len(v.broken) for v in verdicts),
        checks=tuple(checks),
    )


def load_verdicts(
    store: ObjectStore, receipt: ValidationReceipt
) -> dict[tuple[str, date], DayVerdict]:
    """
    Return the verdicts of *receipt* by table and day.

    :raises ArtifactError: If the record is gone or damaged.
    """
    found = read_document(store, receipt.record, WindowVerdicts)
    return {(v.table, v.day): v for v in found.verdicts}


def _table_checks(
    spec: ModelSpec,
    table: str,
    verdicts: list[DayVerdict],
    *,
    history: Sequence[DayVerdict],
    own: DayRange | None,
) -> Iterable[Check]:
    """
    Hold what all days of *table* held together against its contract; closed days hold it.

    :param own: The days whose number of rows the run answers for; None is the newest only. An older
        one was held against its past by its own run.
    """
    contract = spec.contract_of(table)
    mine = sorted((v for v in verdicts if v.table == table and not v.closed), key=lambda v: v.day)
    if not mine:
        return
    yield Check(
        name=f"{table}: columns and types",
        status="passed",
        measured=f"{len(mine)} days hold",
        required=f"{len(contract.columns)} columns",
    )
    worst = max(mine, key=lambda v: len(v.broken) / v.rows)
    share = len(worst.broken) / worst.rows
    yield Check(
        name=f"{table}: quarantined rows",
        status="passed",
        measured=f"{sum(len(v.broken) for v in mine)} in all, at most {share:.2%} on {worst.day}",
        required=f"<= {contract.quarantine_budget:.2%} a day",
    )
    for verdict in mine[-1:] if own is None else [v for v in mine if v.day in own]:
        yield Check(
            name=f"{table}: rows of {verdict.day}",
            status="passed" if verdict.rows >= contract.min_rows else "failed",
            measured=f"{verdict.rows}",
            required=f">= {contract.min_rows}",
        )
        yield volume_check(contract, verdict, history)
    if mine[-1].newest_event is not None:
        yield _freshness_check(contract, mine[-1], mine[-1].newest_event)


def _closed_days(
    spec: ModelSpec, days: DayRange, verdicts: Sequence[DayVerdict]
) -> Iterable[Check]:
    """Name the days without data, where there are any."""
    by_day = {(verdict.table, verdict.day): verdict for verdict in verdicts}
    closed = [day for day in days if not is_open(spec, day, by_day)]
    if closed:
        yield Check(
            name="closed days",
            status="passed",
            measured=f"{len(closed)} of {len(days)}, the newest {closed[-1]}",
            required="named by source.closed, or by their producer",
        )


def _history(store: ObjectStore, spec: ModelSpec, days: DayRange) -> list[DayVerdict]:
    """Return the verdicts on the days before *days* that landed and hold their contract."""
    found = []
    for table in spec.tables:
        first = days.first - timedelta(days=spec.contract_of(table).history_days)
        for day in DayRange(first=first, end=days.end):
            part = partition(spec, table=table, day=day)
            if day in spec.source.closed or store.head(part.key) is None:
                continue
            try:
                found.append(verdict_of(store, spec, part, serving=True)[0])
            except DataContractError:
                continue  # its own run has failed for it
    return found


def volume_check(
    contract: TableContract, verdict: DayVerdict, history: Iterable[DayVerdict]
) -> Check:
    """Hold the rows of *verdict* against those of the days before it in *history*."""
    reach = DayRange(first=verdict.day - timedelta(days=contract.history_days), end=verdict.day)
    before = [v for v in history if v.table == verdict.table and v.day in reach and not v.closed]
    alike = [v.rows for v in before if v.day.weekday() == verdict.day.weekday()]
    rows = alike if len(alike) >= MIN_SAME_WEEKDAYS else [v.rows for v in before]
    name = f"{verdict.table}: volume of {verdict.day}"
    if len(before) < MIN_VOLUME_DAYS:
        return Check(
            name=name,
            status="unknown",
            measured=f"{verdict.rows} rows, {len(before)} days of history",
            required=f"{MIN_VOLUME_DAYS} days of history; min_rows guards until then",
        )
    usual = median(rows)
    least, most = contract.min_rows_vs_history * usual, contract.max_rows_vs_history * usual
    of = f"{verdict.day:%A}s" if rows is alike else "days"
    return Check(
        name=name,
        status="passed" if least <= verdict.rows <= most else "failed",
        measured=f"{verdict.rows} rows",
        required=f"{least:.0f} to {most:.0f}; the median of {len(rows)} {of} is {usual:.0f}",
    )


def _freshness_check(contract: TableContract, newest: DayVerdict, newest_event: datetime) -> Check:
    age = start_of(newest.day) + timedelta(days=1) - newest_event
    hours = age / timedelta(hours=1)
    return Check(
        name=f"{newest.table}: freshness of {newest.day}",
        status="passed" if hours <= contract.fresh_within_hours else "failed",
        measured=f"newest event {hours:.1f} h before midnight",
        required=f"<= {contract.fresh_within_hours:g} h",
    )


def _refuse_failed(spec: ModelSpec, checks: list[Check]) -> None:
    failed = [check for check in checks if check.status == "failed"]
    if failed:
        raise DataContractError(
            "\n".join(
                [
                    f"The newest data of {spec.model!r} breaks {len(failed)} promise(s):",
                    *(f"  {c.name}: measured {c.measured}, required {c.required}" for c in failed),
                    "Nothing was prepared. Land the day again in full, or change the contract in "
                    f"include/models/{spec.model}/model.yaml, then clear this task.",
                ]
            )
        )


def quarantine_reasons(verdicts: Iterable[DayVerdict]) -> dict[str, int]:
    """Return the most common reasons for quarantine over *verdicts*, with their row counts."""
    reasons: dict[str, int] = {}
    for verdict in verdicts:
        for reason, count in verdict.reasons.items():
            key = f"{verdict.table}: {reason}"
            reasons[key] = reasons.get(key, 0) + count
    return dict(most_common(reasons))
