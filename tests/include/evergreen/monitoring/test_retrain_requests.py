"""Brakes on retrains: cool-down, one at a time, an end to what does not help; and staleness."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from tests.conftest import AS_OF
from tests.support.night import NOW

from evergreen.errors import NoChampionError
from evergreen.monitoring.retrain_requests import consider_retrain, requests
from evergreen.monitoring.staleness import allowed_days, measure_staleness
from evergreen.spec.monitoring import Staleness
from evergreen.workspace import Workspace


@pytest.fixture
def history(new_history):
    """A champion of AS_OF; each test goes on from there."""
    found = new_history()
    found.deploy(found.version(0))
    return found


def ask(history, day: int, *, is_replay: bool = False, reasons=("drift: temp",)):
    return consider_retrain(
        Workspace(history.store, history.client, history.spec),
        as_of=AS_OF + timedelta(days=day),
        reasons=reasons,
        is_replay=is_replay,
        now=NOW,
    )


def test_without_a_reason_nothing_is_asked_for(history):
    found = ask(history, 1, reasons=())

    assert (found.message, found.request) == ("not needed", None)
    assert requests(history.store, history.spec.model) == []


def test_drift_day_after_day_is_one_request(history):
    """Days 1 to 7 all call for a retrain; the cool-down is seven days."""
    found = {}
    for day in range(1, 9):
        found[day] = ask(history, day)
        if found[day].request:
            history.version(day, passed=False)  # the retrain comes, and changes nothing

    assert [day for day, of in found.items() if of.request] == [1, 8]
    assert found[2].message == "held: one was requested as of 2013-03-02, the cool-down is 7 days"


def test_asking_again_for_the_same_night_is_the_same_request_until_it_is_answered(history):
    first = ask(history, 1)
    again = ask(history, 1)
    history.version(1, passed=False)
    settled = ask(history, 1)

    assert again.request == first.request
    assert settled.request is None
    assert len(requests(history.store, history.spec.model)) == 1


def test_while_one_has_not_come_no_other_is_asked_for_and_a_person_is_told(history):
    """A paused DAG loses what it is asked: silence must not look like patience."""
    ask(history, 1)
    later = ask(history, 20)

    assert later.request is None
    assert later.is_stuck
    assert f"Is {history.spec.model}__retrain paused" in later.message


def test_what_does_not_help_ends_and_a_promotion_begins_it_anew(history):
    for day in (1, 9, 17):
        assert ask(history, day).request
        history.version(day, passed=False)

    held = ask(history, 25)
    history.deploy(history.version(26))
    free = ask(history, 33)

    assert held.request is None
    assert held.is_stuck
    assert "the last 3 retrains, from 2013-03-02 on, left version 1 as champion" in held.message
    assert free.request is not None


def test_a_replay_tells_nobody_and_leaves_the_present_alone(history):
    past = ask(history, 1, is_replay=True)
    braked = ask(history, 2, is_replay=True)
    present = ask(history, 2)

    assert (past.message, past.request) == ("would have been requested", None)
    assert braked.message.startswith("held: one was requested")
    assert present.request is not None


def staleness(history, day: int, **limits):
    spec = history.spec.model_copy(update={"staleness": Staleness(**limits)})
    as_of = AS_OF + timedelta(days=day)
    return measure_staleness(Workspace(history.store, history.client, spec), as_of=as_of)


def test_a_champion_grows_old(history):
    young, old = staleness(history, 13), staleness(history, 15)

    assert (young.colour, young.limit_from) == ("green", "no backtest yet")
    assert (young.champion_days, young.champion_limit) == (13, 14)
    assert old.colour == "red"
    assert old.requests_retrain
    assert "the champion is 15 days old, 14 are allowed" in old.reasons[0]


def test_its_data_is_older_than_itself(history):
    """Test days and gap lie between what it learnt from and the night it was made."""
    found = staleness(history, 1)

    assert found.data_days == 1 + 4 + 1
    assert found.data_limit == 14 + 4 + 1


def test_one_that_keeps_winning_needs_no_retrain(history):
    history.version(14, passed=False)

    found = staleness(history, 15)

    assert (found.colour, found.requests_retrain) == ("amber", False)


def test_before_the_first_champion_nothing_is_old(history):
    with pytest.raises(NoChampionError, match="had no champion at 2013-02-27"):
        staleness(history, -2)


def test_the_backtest_says_how_old_it_may_grow(history):
    days = pd.date_range("2013-02-01", periods=30)
    losses = [0.0] * 10 + [0.001 * n for n in range(20)]
    table = pd.DataFrame(
        {"day": days, "rows": 900, "evolving": 0.7, "frozen": [0.7 - loss for loss in losses]}
    )
    folder = f"backtests/{history.spec.model}/2013-02-01_2013-03-02"
    history.store.put(f"{folder}/a.csv", table.to_csv(index=False).encode())

    found = staleness(history, 1)

    assert allowed_days(table, metric="roc_auc", max_loss=0.01) == 21
    assert (found.champion_limit, found.limit_from) == (21, "backtest 2013-02-01_2013-03-02")
    assert staleness(history, 1, champion_days=5).champion_limit == 5


def test_a_model_that_keeps_up_may_grow_as_old_as_anybody_looked():
    table = pd.DataFrame(
        {
            "day": pd.date_range("2013-02-01", periods=12),
            "rows": 900,
            "evolving": 0.7,
            "frozen": 0.7,
        }
    )

    assert allowed_days(table, metric="roc_auc", max_loss=0.01) == 12
