"""Going back: to what really served, loaded first, and written down."""

from __future__ import annotations

import pytest
from tests.support.failures import forked, killed_after_each_effect, some_effects_and_all
from tests.support.night import NOW, History

from evergreen.errors import AliasMovedError, ArtifactError, RollbackError
from evergreen.release import champion_change
from evergreen.release.decisions import RunDecision, keep_decision


@pytest.fixture
def history(new_history) -> History:
    """v1 promoted, v2 rejected, v3 promoted."""
    found = new_history()
    found.deploy(found.version(1))
    found.deploy(found.version(2, passed=False))
    found.deploy(found.version(3))
    assert [entry.version for entry in found.ledger().outcomes] == ["1", "3"]
    return found


def test_back_to_the_last_champion_not_to_the_last_number(history):
    receipt = history.roll_back()

    assert (receipt.previous, receipt.version, receipt.moved) == ("3", "1", True)
    assert history.champion() == "1"
    last = history.ledger().entries[-1]
    assert (last.step, last.action, last.version, last.previous) == (
        "outcome",
        "rollback",
        "1",
        "3",
    )
    assert last.reason == "a test"


def test_a_dry_run_checks_and_moves_nothing(history):
    before = history.ledger()

    receipt = history.roll_back(dry_run=True)

    assert (receipt.version, receipt.moved) == ("1", False)
    assert history.champion() == "3"
    assert history.ledger() == before


def test_a_second_time_changes_nothing(history):
    history.roll_back("1")
    before = history.ledger()

    receipt = history.roll_back("1")

    assert receipt.moved is False
    assert history.ledger() == before


def test_there_is_nothing_before_the_first(history):
    history.roll_back()

    with pytest.raises(RollbackError, match="has no champion to go back to: version 1 serves"):
        history.roll_back()
    assert history.champion() == "1"


def test_a_version_that_never_served_is_refused_unless_forced(history):
    with pytest.raises(RollbackError, match="version 2 never served and version 2 missed a gate"):
        history.roll_back("2")
    assert history.champion() == "3"

    receipt = history.roll_back("2", force=True)

    assert history.champion() == "2"
    assert receipt.warnings == ("forced: version 2 never served", "forced: version 2 missed a gate")
    assert "forced: version 2 never served" in history.ledger().entries[-1].reason


def test_a_version_that_is_not_there_is_explained(history):
    with pytest.raises(RollbackError, match=r"no version 99 in MLflow.*Versions that served: 1, 3"):
        history.roll_back("99")


def test_a_target_with_changed_bytes_is_refused(new_history, mlflow_artifacts):
    history = new_history()
    logged, folder = history.copied(mlflow_artifacts)
    history.deploy(history.version(1, logged=logged))
    history.deploy(history.version(2))
    artifact = folder / "model.skops"
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"x")

    with pytest.raises(ArtifactError, match="was changed after it was registered"):
        history.roll_back()

    assert history.champion() == "2"
    assert history.ledger().entries[-1].action == "promote"


def test_a_rolled_back_version_does_not_come_back_by_itself(history):
    """Clearing the night that made it must not undo what a person decided."""
    history.roll_back()

    receipt = history.deploy(history.version(3))

    assert receipt.moved is False
    assert receipt.reason == "it was rolled back; only the rollback DAG can bring it back"
    assert history.champion() == "1"


def test_after_a_rollback_the_nights_before_are_still_history(history):
    history.roll_back()

    receipt = history.deploy(history.version(2, key="other-code"))

    assert receipt.reason.startswith("it is history")
    assert history.champion() == "1"


def test_a_hand_moved_alias_is_settled_by_a_rollback(history):
    history.client.set_registered_model_alias(history.spec.model, "champion", "1")
    newer = history.version(4)
    with pytest.raises(AliasMovedError, match="is at version 1, the ledger says version 3"):
        history.deploy(newer)

    history.roll_back("1")

    assert history.champion() == "1"
    assert history.ledger().champion.version == "1"


def test_the_ledger_is_shown_in_mlflow_once(history):
    history.roll_back()

    experiment = history.client.get_experiment_by_name(f"{history.spec.model}.ledger")
    runs = history.client.search_runs([experiment.experiment_id])
    shown = sorted(run.info.run_name for run in runs)

    assert shown == [
        "0001 promote version 1: intent",
        "0002 promote version 1: outcome",
        "0003 promote version 3 (was 1): intent",
        "0004 promote version 3 (was 1): outcome",
        "0005 rollback version 1 (was 3): intent",
        "0006 rollback version 1 (was 3): outcome",
    ]
    assert {run.data.tags["ledger.recorded_at"][:10] for run in runs} == {f"{NOW:%Y-%m-%d}"}


def steps(history) -> list[tuple[str, str]]:
    """Every champion change of the history, as (action, version)."""
    return [(entry.action, entry.version) for entry in history.ledger().outcomes]


@pytest.fixture
def champions(new_history):
    """Make a history whose champions are the versions 1 to *number*."""

    def make(number: int) -> History:
        found = new_history()
        for version in range(1, number + 1):
            found.deploy(found.version(version))
        assert found.champion() == str(number)
        return found

    return make


@some_effects_and_all
@pytest.mark.parametrize("number", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_anywhere_and_retried_goes_back_once(champions, number, step):
    histories: list[History] = []

    def next_rollback():
        histories.append(champions(number))
        return lambda: histories[-1].roll_back(run="one")

    for _ in killed_after_each_effect(next_rollback, step=step):
        history = histories[-1]
        receipt = history.roll_back(run="one")

        assert (receipt.previous, receipt.version) == (str(number), str(number - 1))
        assert (receipt.moved, receipt.champion_version) == (True, str(number - 1))
        assert history.champion() == history.ledger().champion.version == str(number - 1)
        assert steps(history)[number:] == [("rollback", str(number - 1))]

    assert len(histories) * step > 4


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_finished_run_that_is_cleared_moves_nothing(champions, number):
    history = champions(number)
    first = history.roll_back(run="one", force=True, reason="too many false alarms")
    before = history.ledger()

    again = history.roll_back(run="one", force=True, reason="too many false alarms")

    assert again == first
    assert history.ledger() == before
    assert history.champion() == str(number - 1)


def test_a_cleared_run_does_not_undo_what_came_after_it(champions):
    history = champions(3)
    history.roll_back(run="one")
    history.deploy(history.version(9))

    again = history.roll_back(run="one")

    assert (again.version, again.moved, again.champion_version) == ("2", True, "4")
    assert history.champion() == "4"


def test_another_run_goes_back_once_more(champions):
    history = champions(4)
    history.roll_back(run="one")

    history.roll_back(run="two")

    assert history.champion() == "2"
    assert steps(history)[4:] == [("rollback", "3"), ("rollback", "2")]


def test_two_tries_of_one_run_at_once_go_back_once(champions):
    history = champions(4)

    ends = [forked(lambda: history.roll_back(run="one")) for _ in range(3)]

    assert [end() for end in ends] == [0, 0, 0]
    assert steps(history)[4:] == [("rollback", "3")]


def test_a_run_that_decided_is_refused_if_the_champion_changed_before_it_moved(champions):
    """Killed after the decision; a night promotes version 5; only a new run may go back from it."""
    history = champions(4)
    decision = RunDecision(run="one", action="rollback", version="3", previous="4")
    keep_decision(history.store, history.spec.model, decision)
    history.deploy(history.version(5))

    with pytest.raises(RollbackError, match="version 5 was made champion since"):
        history.roll_back(run="one")
    assert history.champion() == "5"

    assert history.roll_back(run="two").version == "4"


def test_a_run_whose_target_was_deleted_does_not_choose_another(champions, monkeypatch):
    history = champions(4)
    # Killed after the intent.
    monkeypatch.setattr(champion_change, "_finish", lambda *_, **__: None)
    history.roll_back(run="one")
    monkeypatch.undo()
    history.client.delete_model_version(history.spec.model, "3")

    for _ in range(2):
        with pytest.raises(RollbackError, match=r"chose version 3 .* deleted from MLflow"):
            history.roll_back(run="one")
    assert history.champion() == "4"


def test_a_dry_run_decides_nothing(champions):
    history = champions(3)
    before = sorted(history.store.list("decisions/"))

    history.roll_back(run="one", dry_run=True)
    history.deploy(history.version(9))

    assert sorted(history.store.list("decisions/")) == before
    assert history.roll_back(run="one", dry_run=True).version == "3"


def test_a_deploy_that_is_retried_still_says_that_it_promoted(new_history):
    """The first try died before Airflow was told, so the second must announce the champion."""
    history = new_history()
    registration = history.version(1)
    history.deploy(registration, run="night")

    again = history.deploy(registration, run="night")
    other = history.deploy(registration, run="another night")

    assert (again.moved, again.champion_version) == (True, "1")
    assert (other.moved, other.reason) == (False, "it serves already")
    assert len(history.ledger().outcomes) == 1
