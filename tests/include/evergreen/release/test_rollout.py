"""What becomes of a version on its way, by what the model servers saw of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evergreen.registry import ledger as ledger_store
from evergreen.release import rollout
from evergreen.release.rollout import decide
from evergreen.serving.observations import (
    Heartbeat,
    LatencyCounter,
    LatencyHistogram,
    Observation,
    is_expired,
    keep_observation,
)
from evergreen.spec.release import (
    Canary,
    CanaryStep,
    Deployment,
    RolloutLimits,
    RolloutStage,
    Shadow,
)
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import document_bytes

MODEL = "m"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = RolloutLimits(max_p95_ms=100, max_disagreement=0.1, wait_hours=2)
#: What the limits call for: at 1 % three times as many failures must not pass.
NEEDED = 124
SHADOW = RolloutStage(kind="shadow", minutes=10)


def tally(requests: int, *, failed: int = 0, ms: float = 20) -> LatencyHistogram:
    counter = LatencyCounter(slow_ms=LIMITS.max_p95_ms)
    for n in range(requests):
        counter.add(ms, is_failed=n < failed)
    return counter.histogram


class Rollout:
    """A stage of version 2 in a store of its own, and the servers that watch it."""

    def __init__(self, store: FolderStore, stage: RolloutStage) -> None:
        self.store = store
        entry = ledger_store.LedgerEntry(
            step="stage",
            action="promote",
            model=MODEL,
            version="2",
            previous="1",
            as_of=BEGAN,
            serves_from=BEGAN,
            artifact_sha256="0" * 64,
            actor="test",
            reason="",
            recorded_at=BEGAN,
            stage=stage,
        )
        self.running = ledger_store.append(
            store, ledger_store.read_ledger(store, MODEL), entry
        ).rollout

    def results(self, replica: str, *, after: timedelta) -> None:
        beat = Heartbeat(replica=replica, recorded_at=BEGAN + after, url="http://s", models={})
        key = f"servers/{replica}.json"
        self.store.put(key, document_bytes(beat))

    def saw(self, replica: str, **seen) -> None:
        what = {"recorded_at": BEGAN, "state": "ready"} | seen
        number = self.running.number
        keep_observation(self.store, MODEL, number, Observation(replica=replica, **what))

    def after(self, **age: float) -> rollout.RolloutDecision:
        now = BEGAN + timedelta(**age)
        for key in self.store.list("servers/"):
            replica = key.removeprefix("servers/").removesuffix(".json")
            self.results(replica, after=timedelta(**age))
        return decide(self.store, self.running, LIMITS, now=now)


@pytest.fixture
def watched(tmp_path):
    def begin(stage: RolloutStage = SHADOW, servers: tuple[str, ...] = ("a",)) -> Rollout:
        found = Rollout(FolderStore(tmp_path / "store"), stage)
        for name in servers:
            found.results(name, after=timedelta(0))
        return found

    return begin


def test_every_live_server_must_have_loaded_it(watched):
    loading = watched(RolloutStage(kind="load"), servers=("a", "b"))
    loading.saw("a")

    assert loading.after(seconds=5).kind == "wait"

    loading.saw("b")
    found = loading.after(seconds=6)
    assert (found.kind, found.message) == ("advance", "2 servers loaded and probed it")


def test_one_server_that_cannot_load_it_is_enough_to_back_out(watched):
    loading = watched(RolloutStage(kind="load"), servers=("a", "b"))
    loading.saw("a")
    loading.saw("b", state="failed", error="it predicts something else")

    found = loading.after(seconds=5)

    assert found.kind == "back_out"
    assert found.message == "server b: it predicts something else"


def test_without_any_server_nothing_is_proven(watched):
    alone = watched(RolloutStage(kind="load"), servers=())

    assert alone.after(seconds=30).kind == "wait"
    found = alone.after(seconds=90)
    assert found.kind == "stop"
    assert "no model server wrote a heartbeat" in found.message
    assert "clear this task" in found.message


def test_a_server_that_never_loads_it_is_named_when_time_is_up(watched):
    loading = watched(RolloutStage(kind="load"), servers=("a", "b"))
    loading.saw("a")

    assert loading.after(hours=1.9).kind == "wait"
    assert loading.after(hours=2.1).message == "b did not load it in 2 h"
    assert loading.after(hours=2.1).kind == "stop"


def test_a_stage_is_passed_when_it_is_over_and_enough_was_seen(watched):
    shadow = watched()
    seen = {"compared": 130, "scale": 130, "difference": 6.5}
    shadow.saw("a", challenger=tally(130), champion=tally(130), **seen)

    assert shadow.after(minutes=9).kind == "wait"
    found = shadow.after(minutes=10)
    assert found.kind == "advance"
    assert "130 requests, 0 failed" in found.message
    assert "disagreement 0.050" in found.message


def test_all_servers_count_together(watched):
    shadow = watched(servers=("a", "b"))
    shadow.saw("a", challenger=tally(100))
    shadow.saw("b", challenger=tally(NEEDED - 101))

    assert shadow.after(minutes=10).kind == "wait"
    shadow.saw("b", challenger=tally(NEEDED - 100))
    assert shadow.after(minutes=10).kind == "advance"


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ({"challenger": tally(60, ms=130)}, "p95 may be 100 ms"),
        ({"challenger": tally(60, ms=130), "champion": tally(60)}, "p95 may be 100 ms"),
        ({"challenger": tally(60, failed=20), "champion": tally(60)}, "1.0% may fail"),
        ({"challenger": tally(10, failed=10), "champion": tally(10)}, "1.0% may fail"),
        ({"challenger": tally(3, failed=3), "error": "it cannot"}, "last: it cannot"),
        ({"challenger": tally(130), "scale": 130.0, "difference": 27.0}, "may differ by 0.1"),
    ],
)
def test_a_broken_limit_backs_out_at_once(watched, seen, message):
    shadow = watched()
    shadow.saw("a", **seen)

    found = shadow.after(minutes=1)

    assert found.kind == "back_out"
    assert message in found.message


def test_at_the_end_the_whole_disagreement_counts(watched):
    shadow = watched()
    shadow.saw("a", challenger=tally(130), scale=130.0, difference=14.0)

    assert shadow.after(minutes=9).kind == "wait"
    assert shadow.after(minutes=10).kind == "back_out"


@pytest.mark.parametrize("how", [{"failed": 40}, {"ms": 130}], ids=str)
def test_what_the_champion_suffers_as_well_is_not_held_against_the_version(watched, how):
    """A database behind both is away: the version is neither backed out nor passed."""
    shadow = watched()
    shadow.saw("a", challenger=tally(130, **how), champion=tally(130, **how))

    assert shadow.after(minutes=5).kind == "wait"
    assert shadow.after(minutes=10).kind == "wait"


def test_the_champion_failing_a_little_does_not_hide_a_version_that_always_fails(watched):
    shadow = watched()
    shadow.saw("a", challenger=tally(130, failed=130), champion=tally(130, failed=2))

    assert shadow.after(minutes=1).kind == "back_out"


def test_more_failures_than_allowed_and_too_few_to_tell_are_waited_for(watched):
    """2 of 130 are more than 1 %, and happen to a version within the limit as well."""
    shadow = watched()
    shadow.saw("a", challenger=tally(130, failed=2), champion=tally(130))

    found = shadow.after(minutes=10)

    assert found.kind == "wait"
    assert "more requests are needed to decide whether 1.0% may fail holds" in found.message


def test_few_requests_tell_nothing_of_agreement(watched):
    shadow = watched()
    shadow.saw("a", challenger=tally(NEEDED - 1), scale=49.0, difference=49.0)

    assert shadow.after(minutes=1).kind == "wait"


def test_a_stage_without_callers_ends_and_proves_nothing(watched):
    shadow = watched()
    shadow.saw("a", challenger=tally(49))

    assert shadow.after(minutes=60).message.endswith(f"{NEEDED} requests are needed to decide")
    found = shadow.after(minutes=131)
    assert found.kind == "stop"
    assert f"{NEEDED} requests are needed to decide and did not arrive within 2 h" in found.message


def test_an_abandoned_stage_expires(watched):
    running = watched().running

    assert not is_expired(running, LIMITS, now=BEGAN + timedelta(hours=3, minutes=9))
    assert is_expired(running, LIMITS, now=BEGAN + timedelta(hours=3, minutes=11))


def test_the_stages_of_a_spec_follow_each_other():
    steps = (CanaryStep(share=0.1, minutes=5), CanaryStep(share=0.5, minutes=5))
    canary = Deployment(mode="canary", canary=Canary(steps=steps))
    shadow = Deployment(mode="shadow", shadow=Shadow(minutes=3))

    def way(deployment: Deployment) -> list[str]:
        found, stage = [], rollout.next_stage(deployment, None)
        while stage is not None:
            found.append(str(stage))
            stage = rollout.next_stage(deployment, stage)
        return found

    assert way(canary) == ["load", "shadow", "canary 10%", "canary 50%"]
    assert way(shadow) == ["load", "shadow"]
    assert way(Deployment()) == []
