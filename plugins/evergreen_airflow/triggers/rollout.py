"""Watch a version prove itself in the triggerer, so that a canary costs no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from evergreen.registry import ledger as ledger_store
from evergreen.release import rollout
from evergreen.spec import load_spec
from evergreen_airflow.hooks.storage import ObjectStoreHook


class RolloutTrigger(BaseTrigger):
    """
    Fire when there is something to decide on a stage, or somebody decided something else.

    It holds no state: a restarted triggerer, or two at once, see the same.

    :param store_conn_id: Connection to the object store.
    :param model: Name of the model.
    :param number: The stage's entry in the ledger; None fires after one wait.
    :param poll_s: Seconds between looks.
    """

    def __init__(
        self, *, store_conn_id: str, model: str, number: int | None, poll_s: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store_conn_id = store_conn_id
        self.model = model
        self.number = number
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return (
            "evergreen_airflow.triggers.rollout.RolloutTrigger",
            {
                "store_conn_id": self.store_conn_id,
                "model": self.model,
                "number": self.number,
                "poll_s": self.poll_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, sleep, look again; say in the task's log what is seen, when that changes."""
        logged = ""
        while True:
            await asyncio.sleep(self.poll_s)
            message = None if self.number is None else await asyncio.to_thread(self._waits_for)
            if message is None:
                yield TriggerEvent({"number": self.number})  # type: ignore[no-untyped-call]
                return
            if message != logged:
                self.log.info("%s", message)
                logged = message

    def _waits_for(self) -> str | None:
        """Return what the stage waits for, or None if there is something to do."""
        store = ObjectStoreHook(self.store_conn_id).store
        running = ledger_store.read_ledger(store, self.model).rollout
        if running is None or running.number != self.number:
            return None
        limits = load_spec(self.model).deployment.limits
        decision = rollout.decide(store, running, limits, now=datetime.now(UTC))
        return f"{running.stage}: {decision.message}" if decision.kind == "wait" else None
