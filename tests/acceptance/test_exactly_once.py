"""
Promise 4: SIGKILL between any two effects of any stage, then retry: one run, one version, no run
left RUNNING. Two processes at once: one version.

What was broken to turn these red is in docs/promises.md.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from evergreen.modeling.training import train_candidate
from evergreen.operations.invariants import check_invariants
from evergreen.receipts.modeling import CandidateReceipt
from evergreen.workspace import Workspace
from tests.conftest import AS_OF
from tests.support.failures import forked, killed_after_each_effect, some_effects_and_all
from tests.support.night import NOW, History, Night


def errors(night: Night) -> list[str]:
    checks = check_invariants(night.workspace, now=NOW, grace=timedelta(0))
    return [f"{check.name}: {check.measured}" for check in checks if check.status != "passed"]


def test_killed_anywhere_in_data_stages_the_examples_are_the_same(night):
    """The newest day is corrected each time, so that it has to be validated and prepared again."""
    night.examples()
    key = f"raw/flights/{AS_OF.date() - timedelta(days=1)}.parquet"
    expected, raw = night.examples(), night.store.get(key)
    kills = 0

    def broken_off():
        for folder in ("examples", "validation"):
            for found in list(night.store.list(f"{folder}/{night.spec.model}/windows/")):
                night.store.delete(found)
        night.store.put(key, raw)  # a new file, so that its verdict is made again
        return night.examples

    for _ in killed_after_each_effect(broken_off):
        kills += 1
        assert night.examples().digest == expected.digest
        assert errors(night) == []

    assert kills >= 3


@some_effects_and_all
def test_killed_anywhere_in_training_there_is_one_run_and_none_unfinished(trained, step):
    night, _ = trained
    examples = night.examples()
    attempts: list[Night] = []

    def train(of: Night) -> CandidateReceipt:
        return train_candidate(
            Workspace(of.store, of.client, of.spec),
            candidate="baseline",
            examples=examples,
            tags={},
        )

    def next_work():
        attempts.append(night.at(AS_OF, seed=100 * step + len(attempts)))
        return lambda: train(attempts[-1])

    for _ in killed_after_each_effect(next_work, step=step):
        again = train(attempts[-1])

        (run,) = [r for r in night.runs() if r.data.tags["evergreen.key"] == again.key]
        assert run.info.status == "FINISHED"
        assert run.info.run_id == again.run_id
        assert run.data.tags["evergreen.artifact_sha256"] == again.artifact_sha256

    assert len(attempts) * step > 8


@some_effects_and_all
def test_killed_anywhere_in_judging_registering_and_deploying_there_is_one_version(
    new_history, step
):
    histories: list[History] = []

    def next_night():
        history = new_history()
        history.deploy(history.version(1))  # there is a champion to replace
        histories.append(history)
        return lambda: history.deploy(history.version(2))

    for _ in killed_after_each_effect(next_night, step=step):
        history = histories[-1]
        receipt = history.deploy(history.version(2))

        assert receipt.champion_version == "2"
        assert history.versions() == ["1", "2"]
        assert history.champion() == "2"
        assert [e.version for e in history.ledger().outcomes] == ["1", "2"]
        assert errors(history) == []

    assert len(histories) * step > 16


@some_effects_and_all
def test_killed_anywhere_in_a_rollback_the_next_night_finds_it_finished_or_not_begun(
    new_history, step
):
    histories: list[History] = []

    def next_rollback():
        history = new_history()
        history.deploy(history.version(1))
        history.deploy(history.version(2))
        histories.append(history)
        return history.roll_back

    for _ in killed_after_each_effect(next_rollback, step=step):
        history = histories[-1]
        history.deploy(history.version(3, passed=False))  # no retry: the next night comes along

        assert history.champion() == history.ledger().champion.version
        assert history.ledger().pending is None
        assert errors(history) == []


@pytest.mark.parametrize("attempt", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_two_processes_at_once_make_one_run_and_one_version(trained, attempt):
    shared, _ = trained
    night = shared.at(AS_OF, seed=1000 + attempt)
    examples = night.examples()
    gate_read, gate_write = os.pipe()

    def work() -> None:
        os.read(gate_read, 1)  # both start when the parent opens the gate
        evaluation = night.evaluation(examples)
        night.register(evaluation, examples)

    ends = [forked(work) for _ in range(2)]
    os.write(gate_write, b"go")

    assert [end() for end in ends] == [0, 0]
    receipts = night.candidates(examples)
    for candidate in receipts:
        runs = [r for r in night.runs() if r.data.tags["evergreen.key"] == candidate.key]
        assert [run.info.run_id for run in runs] == [candidate.run_id]
    keys = [
        v.tags["evergreen.key"]
        for v in night.client.search_model_versions(f"name = '{night.spec.model}'")
    ]
    assert keys.count(receipts[0].key) == 1


def test_many_deployments_at_once_leave_one_champion_and_a_ledger_that_agrees(new_history):
    history = new_history()
    versions = [history.version(day) for day in range(1, 5)]
    gate_read, gate_write = os.pipe()

    def work(registration) -> None:
        os.read(gate_read, 1)
        # Judged again each time: it passes, and says against whom.
        history.reevaluate = lambda _: history.version(
            (registration.as_of - AS_OF).days, key=registration.key
        )
        history.deploy(registration)

    ends = [forked(lambda v=version: work(v)) for version in versions]
    os.write(gate_write, b"open")

    assert [end() for end in ends] == [0] * len(versions)
    assert history.champion() == versions[-1].version
    assert [e.as_of for e in history.ledger().outcomes] == sorted(
        e.as_of for e in history.ledger().outcomes
    )
    assert errors(history) == []
