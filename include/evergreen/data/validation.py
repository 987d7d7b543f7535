"""
Hold the days of a window against the contract, each day once.

A day's verdict is kept under the fingerprint of its raw object and the digest of its contract, so
a night reads one new day and a corrected file is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from statistics import median

from evergreen.data.partitions import Partition, explain_missing, needed, open_partition
from evergreen.data.window import DayRange, start_of
from evergreen.errors import DataContractError
from evergreen.receipts.common import Check
from evergreen.receipts.data import DayVerdict, ValidationReceipt, WindowVerdicts
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import (
    canonical_json,
    digest_of,
    find_or_make,
    put_once,
    read_document,
)

log = logging.getLogger(__name__)

#: With fewer days than this a median says little, and only ``min_rows`` guards the volume.
MIN_VOLUME_DAYS = 7


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
        verdict, is_new = _verdict_of(store, spec, part, serving=serving)
        verdicts.append(verdict)
        days_read += is_new
        if is_new and days_read % 20 == 0:
            log.info("validated %d new partitions, now at %s", days_read, part.day)
    checks = [check for table in spec.tables for check in _table_checks(spec, table, verdicts)]
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
        days=len({v.day for v in verdicts}),
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


def day_verdicts(
    store: ObjectStore, spec: ModelSpec, day: date
) -> dict[tuple[str, date], DayVerdict]:
    """
    Return the verdict on each partition that preparing *day* reads, without labels.

    :raises DataContractError: If one breaks its contract.
    :raises MissingPartitionError: If one is not there.
    """
    days = DayRange(first=day, end=day + timedelta(days=1))
    found = [_verdict_of(store, spec, p, serving=True)[0] for p in needed(spec, days=days)]
    return {(verdict.table, verdict.day): verdict for verdict in found}


def _verdict_of(
    store: ObjectStore, spec: ModelSpec, part: Partition, *, serving: bool
) -> tuple[DayVerdict, bool]:
    """
    Return the verdict of *part*, and whether the partition had to be read for it.

    A partition that holds its whole contract holds that of serving too, and is not read twice.
    """
    head = store.head(part.key)
    if head is None:
        raise explain_missing([part], store_uri=store.uri, waited_hours=0)
    contract = canonical_json(spec.contract_of(part.table).model_dump(mode="json"))
    folder = layout.validation_folder(spec.model, part.table, part.day)
    key = f"{folder}/{digest_of(part.key, head.fingerprint, contract)}.json"
    if store.head(key) is None and serving:
        key = f"{folder}/{digest_of(part.key, head.fingerprint, contract, 'serving')}.json"
    return find_or_make(
        store, key, DayVerdict, lambda: _validate_partition(store, spec, part, serving=serving)
    )


def _validate_partition(
    store: ObjectStore, spec: ModelSpec, part: Partition, *, serving: bool
) -> DayVerdict:
    # pandera takes seconds to import
    from evergreen.data.contract import broken_rows, check_columns, serving_contract
    from evergreen.data.parquet import to_parquet
    from evergreen.data.personal_data import without_personal_values

    contract = spec.contract_of(part.table)
    data = store.get(part.key)
    table = open_partition(part, data)
    if serving:
        contract = serving_contract(contract, table=table)
    check_columns(table, contract=contract, part=part)
    frame = table.to_pandas()
    reasons = broken_rows(frame, contract=contract, part=part)
    quarantine = None
    if len(reasons):
        rows = without_personal_values(frame.loc[reasons.index], contract)
        quarantined = rows.assign(quarantine_reason=reasons)
        folder = layout.quarantine_folder(spec.model, part.table, part.day)
        quarantine = put_once(store, folder, to_parquet(quarantined), suffix=".parquet")
    verdict = DayVerdict(
        table=part.table,
        day=part.day,
        raw_key=part.key,
        raw_sha256=sha256_of(data),
        rows=len(frame),
        broken=tuple(int(position) for position in reasons.index),
        reasons={str(k): int(v) for k, v in reasons.value_counts().sort_index().items()},
        quarantine=quarantine,
        newest_event=frame[contract.event_time].max() if contract.event_time else None,
        columns={field.name: str(field.type) for field in table.schema},
    )
    _refuse_over_budget(verdict, part=part, budget=contract.quarantine_budget)
    return verdict


def _refuse_over_budget(verdict: DayVerdict, *, part: Partition, budget: float) -> None:
    share = len(verdict.broken) / verdict.rows
    if share <= budget:
        return
    place = verdict.quarantine.key if verdict.quarantine else "nowhere"
    raise DataContractError(
        "\n".join(
            [
                f"{part}: {len(verdict.broken)} of {verdict.rows} rows ({share:.2%}) break the "
                f"contract, the quarantine budget is {budget:.2%}:",
                *(f"  {count} x {reason}" for reason, count in _most_common(verdict.reasons)),
                f"The rows lie in {place}; nothing was prepared from this day.",
                "Repair the producer and land the day again, or change the contract in model.yaml.",
            ]
        )
    )


def _most_common(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:10]


def _table_checks(spec: ModelSpec, table: str, verdicts: list[DayVerdict]) -> Iterable[Check]:
    contract = spec.contract_of(table)
    mine = sorted((v for v in verdicts if v.table == table), key=lambda v: v.day)
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
    smallest = min(mine, key=lambda v: v.rows)
    yield Check(
        name=f"{table}: rows a day",
        status="passed" if smallest.rows >= contract.min_rows else "failed",
        measured=f"{smallest.rows} on {smallest.day}",
        required=f">= {contract.min_rows}",
    )
    yield _volume_check(contract, mine)
    if mine[-1].newest_event is not None:
        yield _freshness_check(contract, mine[-1], mine[-1].newest_event)


def _volume_check(contract: TableContract, verdicts: list[DayVerdict]) -> Check:
    """Hold the rows of the newest of *verdicts*, oldest first, against the days before it."""
    newest = verdicts[-1]
    name = f"{newest.table}: volume of {newest.day}"
    history = [v.rows for v in verdicts[:-1]][-contract.history_days :]
    if len(history) < MIN_VOLUME_DAYS:
        return Check(
            name=name,
            status="unknown",
            measured=f"{newest.rows} rows, {len(history)} days of history",
            required=f"{MIN_VOLUME_DAYS} days of history; min_rows guards until then",
        )
    usual = median(history)
    least = contract.min_rows_vs_history * usual
    return Check(
        name=name,
        status="passed" if newest.rows >= least else "failed",
        measured=f"{newest.rows} rows",
        required=f">= {least:.0f}, {contract.min_rows_vs_history:.0%} of the usual {usual:.0f}",
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
    return dict(_most_common(reasons))
