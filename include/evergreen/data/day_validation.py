"""
Hold one day of one table against its contract, once.

The verdict is kept under the fingerprint of the raw object and the digest of the contract, so a
night reads one new day and a corrected file is read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.data.partitions import (
    Partition,
    explain_missing,
    is_closed,
    needed,
    open_partition,
)
from evergreen.data.window import DayRange
from evergreen.errors import DataContractError
from evergreen.receipts.data import DayVerdict
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, sha256_of
from evergreen.storage.records import canonical_json, digest_of, find_or_make, put_once

if TYPE_CHECKING:
    import pandas as pd


def is_open(spec: ModelSpec, day: date, verdicts: Mapping[tuple[str, date], DayVerdict]) -> bool:
    """Return whether there are data of *day*: neither spec nor producer says that it is closed."""
    mine = [verdict for (_, of), verdict in verdicts.items() if of == day]
    return day not in spec.source.closed and not all(verdict.closed for verdict in mine)


def day_verdicts(
    store: ObjectStore, spec: ModelSpec, day: date
) -> dict[tuple[str, date], DayVerdict]:
    """
    Return the verdict on each partition that preparing *day* reads, without labels.

    :raises DataContractError: If one breaks its contract.
    :raises MissingPartitionError: If one is not there.
    """
    days = DayRange(first=day, end=day + timedelta(days=1))
    found = [verdict_of(store, spec, p, serving=True)[0] for p in needed(spec, days=days)]
    return {(verdict.table, verdict.day): verdict for verdict in found}


def verdict_of(
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
    from evergreen.data.raw_rows import raw_frame

    contract = spec.contract_of(part.table)
    data = store.get(part.key)
    table = open_partition(part, data)
    if is_closed(table):
        return _closed(part, data)
    if serving:
        contract = serving_contract(contract, table=table)
    check_columns(table, contract=contract, part=part)
    frame = raw_frame(table, contract=contract, part=part)
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
        newest_event=_newest_event(frame.drop(index=reasons.index), contract),
        columns={field.name: str(field.type) for field in table.schema},
    )
    _refuse_over_budget(verdict, part=part, budget=contract.quarantine_budget)
    return verdict


def _closed(part: Partition, data: bytes) -> DayVerdict:
    return DayVerdict(
        table=part.table,
        day=part.day,
        raw_key=part.key,
        raw_sha256=sha256_of(data),
        rows=0,
        broken=(),
        reasons={},
        quarantine=None,
        newest_event=None,
        closed=True,
    )


def _newest_event(sound: pd.DataFrame, contract: TableContract) -> datetime | None:
    """Return the newest event of the rows that hold the contract, None if there is none."""
    if contract.event_time is None or sound.empty:
        return None
    newest: datetime = sound[contract.event_time].max()
    return newest


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
                *(f"  {count} x {reason}" for reason, count in most_common(verdict.reasons)),
                f"The rows lie in {place}; nothing was prepared from this day.",
                "Repair the producer and land the day again, or change the contract in model.yaml.",
            ]
        )
    )


def most_common(reasons: dict[str, int]) -> list[tuple[str, int]]:
    """Return the ten commonest *reasons* and how many rows have each."""
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:10]
