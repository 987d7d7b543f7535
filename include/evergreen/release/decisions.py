"""
What a run decided to do, kept so that every later try of the run does that and nothing else.

A run that chooses its own target must not choose again when it is retried or cleared: by then its
first try may have changed what the choice depends on.
"""

from __future__ import annotations

from typing import Literal

from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, put_json_once
from evergreen.values import Frozen


class RunDecision(Frozen):
    """
    The version that a run acts on, and what was champion when it decided.

    ``previous`` is the champion where the run changes it: here for a rollback, in the other
    environment for a promotion.
    """

    run: str
    action: Literal["promote", "rollback"]
    version: str
    previous: str | None


def find_decision(store: ObjectStore, model: str, run: str | None) -> RunDecision | None:
    """Return what an earlier try of *run* decided, or None. A run without a name decides anew."""
    if run is None or store.head(key := _key(model, run)) is None:
        return None
    return RunDecision.model_validate_json(store.get(key))


def keep_decision(store: ObjectStore, model: str, decision: RunDecision) -> RunDecision:
    """Keep *decision* unless its run has one already, and return the one that is kept."""
    content = decision.model_dump(mode="json")
    return RunDecision.model_validate(put_json_once(store, _key(model, decision.run), content))


def _key(model: str, run: str) -> str:
    return f"decisions/{model}/{digest_of(run)}.json"
