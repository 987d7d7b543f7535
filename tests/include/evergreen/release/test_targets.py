"""The way of a version to its callers as the ledger tells it, whoever dies on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.failures import killed_after_each_effect, some_effects_and_all

from evergreen.errors import RolloutError
from evergreen.receipts.release import DeploymentReceipt
from evergreen.release.targets import Waiting
from evergreen.serving.observations import (
    Heartbeat,
    LatencyCounter,
    Observation,
    keep_observation,
)
from evergreen.spec.release import Canary, CanaryStep, Deployment, RolloutLimits, Shadow
from evergreen.storage.records import document_bytes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAGED = Deployment(
    mode="canary",
    shadow=Shadow(minutes=1),
    canary=Canary(steps=(CanaryStep(share=0.5, minutes=1),)),
    limits=RolloutLimits(max_error_rate=0.3),
)


@pytest.fixture
def online(new_history):
    """A model with a champion and one model server, played by the test with real observations."""
    history = new_history()
    history.deploy(history.version(0))
    history.spec = history.spec.model_copy(update={"deployment": STAGED})
    return history


def watch(history, *, now: datetime, state: str = "ready", failed: bool = False) -> None:
    """Do what a server does: take leave of nothing, tell what it saw of the stage."""
    beat = Heartbeat(replica="a", recorded_at=now, url="http://a", models={})
    history.store.put("servers/a.json", document_bytes(beat))
    running = history.ledger().rollout
    if running is not None:
        challenger, champion = LatencyCounter(), LatencyCounter()
        for _ in range(100):
            challenger.add(10, is_failed=failed)
            champion.add(10, is_failed=False)
        seen = Observation(
            replica="a",
            recorded_at=now,
            state=state,
            error="it broke" if failed else None,
            challenger=challenger.histogram,
            champion=champion.histogram,
            difference=0,
            scale=1,
            compared=1,
        )
        keep_observation(history.store, history.spec.model, running.number, seen)


def walk(history, registration, *, minutes: int = 20) -> DeploymentReceipt:
    """Ask every minute until there is an answer."""
    for minute in range(minutes):
        now = NOW + timedelta(minutes=minute)
        watch(history, now=now)
        done = history.deploy(registration, now=now)
        if not isinstance(done, Waiting):
            return done
    raise AssertionError(done)


def way(history, version: str) -> list[str]:
    return [str(e.stage or e.step) for e in history.ledger().entries if e.version == version]


def test_each_stage_is_written_down_with_what_was_seen(online):
    receipt = walk(online, online.version(1))

    assert receipt.moved
    assert way(online, "2") == ["load", "shadow", "canary 50%", "intent", "outcome"]
    reasons = [e.reason for e in online.ledger().entries if e.version == "2"]
    assert reasons[2].startswith("shadow: 100 requests, 0 failed")
    assert "canary 50%: 100 requests" in reasons[-1]


@some_effects_and_all
def test_killed_after_any_effect_the_next_try_goes_on(online, step):
    """Each stage and each end once, whatever became of the attempt before."""
    days = iter(range(1, 100))

    def prepare():
        self = prepare
        self.registration = online.version(next(days))
        return lambda: walk(online, self.registration)

    for _ in killed_after_each_effect(prepare, step=step):
        receipt = walk(online, prepare.registration)

        version = prepare.registration.version
        assert receipt.moved or receipt.reason == "it serves already"
        assert online.champion() == version
        assert way(online, version) == ["load", "shadow", "canary 50%", "intent", "outcome"]


def test_what_a_server_saw_fail_backs_out_once(online):
    registration = online.version(1)
    assert isinstance(online.deploy(registration, now=NOW), Waiting)
    watch(online, now=NOW, state="failed", failed=True)

    receipt = online.deploy(registration, now=NOW)
    again = online.deploy(registration, now=NOW)

    assert (receipt.moved, receipt.is_backed_out) == (False, True)
    assert receipt.reason == "it backed out: load: server a: it broke"
    assert again.reason.startswith("it backed out before")
    assert way(online, "2") == ["load", "backed_out"]
    assert online.champion() == "1"


def test_unseen_by_any_server_it_fails_and_can_be_tried_again(online):
    registration = online.version(1)
    assert isinstance(online.deploy(registration, now=NOW), Waiting)

    with pytest.raises(RolloutError, match=r"proved nothing, the champion stays.*no model server"):
        online.deploy(registration, now=NOW + timedelta(minutes=2))

    assert way(online, "2") == ["load", "stopped"]
    assert walk(online, registration).moved


def test_a_newer_night_ends_the_way_of_an_older_version(online):
    older, newer = online.version(1), online.version(2)
    assert isinstance(online.deploy(older, now=NOW), Waiting)

    assert walk(online, newer).moved

    assert way(online, "2") == ["load", "stopped"]
    assert online.ledger().rollout is None


def test_a_rollback_ends_the_way_of_a_version(online):
    assert walk(online, online.version(1)).moved
    registration = online.version(2)
    assert isinstance(online.deploy(registration, now=NOW), Waiting)

    online.roll_back("1")

    assert online.ledger().rollout is None
    assert online.champion() == "1"


def test_the_first_champion_needs_no_stage(new_history):
    history = new_history()
    history.spec = history.spec.model_copy(update={"deployment": STAGED})

    receipt = history.deploy(history.version(0))

    assert receipt.moved
    assert "no other to be compared with" in history.ledger().entries[-1].reason
