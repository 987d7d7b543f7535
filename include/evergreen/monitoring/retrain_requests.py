"""
Ask for a retrain, with brakes: a cool-down, one at a time, and an end to what does not help.

A request is one immutable object, named by the instant it was made for, so that asking again for
the same instant is the same request.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.receipts.monitoring import RetrainRequest
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document_once
from evergreen.values import Frozen
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


log = logging.getLogger(__name__)


class RetrainDecision(Frozen):
    """
    Whether a retrain is requested, as a message; ``request`` is set if an event must be sent.

    ``is_stuck``: a brake holds that only a person can loosen.
    """

    message: str
    request: RetrainRequest | None = None
    is_stuck: bool = False


def consider_retrain(
    workspace: Workspace,
    *,
    as_of: datetime,
    reasons: Sequence[str],
    is_replay: bool,
    now: datetime,
) -> RetrainDecision:
    """
    Ask for a retrain for *reasons*, unless a brake holds.

    Safe to repeat: a request for the same *as_of* is given again until a retrain has answered it.

    :param is_replay: In a replayed past the brakes act as they would have, on what that past asked
        for, and no alert is sent.
    :param now: The clock, for the record.
    """
    if not reasons:
        return RetrainDecision(message="not needed")
    asked = [
        r
        for r in requests(workspace.store, workspace.spec.model)
        if r.as_of <= as_of and r.is_replay <= is_replay
    ]
    if own := next((r for r in asked if r.as_of == as_of), None):
        if is_replay or own.is_replay or _is_answered(workspace.client, own):
            return RetrainDecision(message="requested before; a retrain followed")
        return RetrainDecision(
            message="request repeated: no version has been registered for it yet", request=own
        )
    if held := _brake(workspace, asked, as_of=as_of, is_replay=is_replay):
        return held
    ledger = ledger_store.read_ledger(workspace.store, workspace.spec.model)
    champion_entry = ledger.champion_at(as_of)
    request = RetrainRequest(
        model=workspace.spec.model,
        as_of=as_of,
        reason="; ".join(reasons)[:500],
        version=champion_entry.version if champion_entry else "none",
        is_replay=is_replay,
        recorded_at=now,
    )
    request = put_document_once(workspace.store, _key(request), request)
    if is_replay:
        return RetrainDecision(message="would have been requested", request=None)
    return RetrainDecision(message="requested", request=request)


def requests(store: ObjectStore, model: str) -> list[RetrainRequest]:
    """Return every request of *model*, oldest first; a damaged one is left out."""
    found = []
    for key in store.list(layout.all_of("retrain_requests", model)):
        try:
            found.append(load_document(store, key, RetrainRequest))
        except ArtifactError as error:
            log.warning("a request is left out: %s", error)  # check-state names it too
        except FileNotFoundError:
            continue  # retention was faster
    return sorted(found, key=lambda request: request.as_of)


def _key(request: RetrainRequest) -> str:
    kind = "-replay" if request.is_replay else ""
    return layout.retrain_request(request.model, request.as_of, kind)


def _brake(
    workspace: Workspace,
    asked: Sequence[RetrainRequest],
    *,
    as_of: datetime,
    is_replay: bool,
) -> RetrainDecision | None:
    """Return what holds a request up; None if nothing does."""
    if not asked:
        return None
    last, rules = asked[-1], workspace.spec.drift
    age = as_of - last.as_of
    if age < timedelta(days=rules.cool_down_days):
        return RetrainDecision(
            message=f"held: one was requested as of {last.as_of:%Y-%m-%d}, the cool-down is "
            f"{rules.cool_down_days} days"
        )
    if not is_replay and not _is_answered(workspace.client, last):
        return RetrainDecision(
            message=f"held: the one requested as of {last.as_of:%Y-%m-%d} has not come. Is "
            f"{workspace.spec.model}__retrain paused, failing, or waiting for a person?",
            is_stuck=True,
        )
    tried = asked[-rules.max_useless_retrains :]
    since = tried[0].as_of
    outcomes = ledger_store.read_ledger(workspace.store, workspace.spec.model).outcomes
    if len(tried) == rules.max_useless_retrains and not any(
        since <= e.as_of <= as_of for e in outcomes
    ):
        return RetrainDecision(
            message=f"held: the last {len(tried)} retrains, from {since:%Y-%m-%d} on, left version "
            f"{last.version} as champion. A person must look; the next promotion loosens this",
            is_stuck=True,
        )
    return None


def _is_answered(client: MlflowClient, request: RetrainRequest) -> bool:
    """Return whether a retrain that knew as much as *request* has made a version."""
    return any(
        mlflow_registry.as_of_of(version) >= request.as_of
        for version in mlflow_registry.all_versions(client, request.model)
    )
