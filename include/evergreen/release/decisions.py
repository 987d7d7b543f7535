"""
What a run decided to do, kept so that every later try of the run does that and nothing else.

A run that chooses its own target must not choose again when it is retried or cleared: by then its
first try may have changed what the choice depends on.
"""

from __future__ import annotations

from typing import Literal

from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import digest_of, find_document, put_document_once
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
    return None if run is None else find_document(store, _key(model, run), RunDecision)


def keep_decision(store: ObjectStore, model: str, decision: RunDecision) -> RunDecision:
    """Keep *decision* unless its run has one already, and return the one that is kept."""
    return put_document_once(store, _key(model, decision.run), decision)


def _key(model: str, run: str) -> str:
    return layout.decision_record(model, digest_of(run))
