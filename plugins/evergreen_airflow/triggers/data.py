"""Wait for partitions in the triggerer, so that a missing day costs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from evergreen.data.partitions import has_landed
from evergreen_airflow.hooks.storage import ObjectStoreHook


class PartitionsTrigger(BaseTrigger):
    """
    Fire when every key is in the store, or when the deadline has passed.

    :param store_conn_id: Connection to the object store.
    :param keys: Keys that must exist.
    :param deadline: ISO 8601 instant at which to give up; a restarted triggerer keeps it.
    :param poll_s: Seconds between looks.
    """

    def __init__(
        self, *, store_conn_id: str, keys: list[str], deadline: str, poll_s: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store_conn_id = store_conn_id
        self.keys = keys
        self.deadline = deadline
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return (
            "evergreen_airflow.triggers.data.PartitionsTrigger",
            {
                "store_conn_id": self.store_conn_id,
                "keys": self.keys,
                "deadline": self.deadline,
                "poll_s": self.poll_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, sleep, look again; a key found once is not looked up again."""
        absent = list(self.keys)
        store = await asyncio.to_thread(lambda: ObjectStoreHook(self.store_conn_id).store)
        deadline = datetime.fromisoformat(self.deadline)
        while True:
            absent = await asyncio.to_thread(
                lambda keys: [key for key in keys if not has_landed(store, key)], absent
            )
            if not absent:
                yield TriggerEvent({"landed": True})  # type: ignore[no-untyped-call]
                return
            if datetime.now(UTC) >= deadline:
                yield TriggerEvent({"landed": False})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_s)
