"""Each test of the ML Test Score: what grants its point, and what withholds it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from evergreen.receipts.modeling import Importance
from evergreen.spec.inputs import CiTests
from evergreen.spec.release import Deployment, RolloutStage, Shadow
from tests.support.night import NOW
from tests.support.score_world import TESTS, World

Change = Callable[[World], object]

LONG_AGO = timedelta(days=30)
USEFUL = Importance(name="a", cost=0.1, error=0.01)
USELESS = Importance(name="b", cost=0.001, error=0.01)
LIKE_TEST_DAYS = [(0.70, 0.69), (0.72, 0.71), (0.74, 0.74), (0.76, 0.75), (0.78, 0.78)]
UNLIKE = [(0.70, 0.75), (0.72, 0.69), (0.74, 0.78), (0.76, 0.71), (0.78, 0.74)]
SHADOW = Deployment(mode="shadow", shadow=Shadow(minutes=1))


def nothing(world: World) -> None:
    """Leave everything as it is: the evidence is not there."""


def then(*changes: Change) -> Change:
    def all_of(world: World) -> None:
        for change in changes:
            change(world)

    return all_of


def set_in(part: str, **values: object) -> Change:
    return lambda world: world.change(part, **values)


def stage(world: World) -> None:
    world.ledger_entry(step="stage", stage=RolloutStage(kind="shadow", minutes=1))


def no_number(world: World) -> None:
    ours = world.evaluation.metrics["challenger"]
    world.change("evaluation", metrics={"challenger": ours | {"roc_auc": None}})


def long_ago(world: World):
    return world.identity.as_of.date() - LONG_AGO


DIRTY = set_in("identity", git_dirty=True)


def with_ci(kind: str) -> tuple[Change, list[Change]]:
    """Return what grants the point for tests of *kind*, and what withholds it."""
    others = tuple(name for key, name in TESTS.items() if key != kind)
    return World.ci, [
        nothing,
        lambda w: w.ci(sha="b" * 40),
        lambda w: w.ci(failed=1),
        lambda w: w.ci(names=others),
        lambda w: w.ci(passed=0),
        then(World.ci, lambda w: w.ci(failed=1, at=NOW + timedelta(hours=1))),
        then(World.ci, DIRTY),
        then(World.ci, set_in("spec", tests=CiTests())),
    ]


DATA: dict[str, tuple[Change, list[Change]]] = {
    "Feature expectations are captured in a schema": (
        nothing,
        [
            World.bare,
            lambda w: w.change(
                "identity", validation=w.identity.validation.model_copy(update={"checks": ()})
            ),
        ],
    ),
    "All features are beneficial": (
        set_in("details", importances=(USEFUL,)),
        [set_in("details", importances=(USEFUL, USELESS)), set_in("details", importances=())],
    ),
    "No feature's cost is too much": (
        World.groups,
        [
            set_in("details", groups=()),
            lambda w: w.groups(min_gain=None),
            lambda w: w.groups(min_gain=0.09),  # the lower bound is 0.08
            lambda w: w.groups(cost=None),
            lambda w: w.groups(leave_out=1),
        ],
    ),
    "Features adhere to meta-level requirements": (
        nothing,
        [set_in("spec", inputs={}), lambda w: w.declare(personal=None)],
    ),
    "The data pipeline has appropriate privacy controls": (
        nothing,
        [set_in("spec", inputs={}), lambda w: w.declare(personal=None), World.bare],
    ),
    "New features can be added quickly": (
        World.ci,
        [*with_ci("new_input")[1], lambda w: w.ci(seconds=4000.0), lambda w: w.ci(seconds=0.0)],
    ),
    "All input feature code is tested": with_ci("inputs"),
}
MODEL: dict[str, tuple[Change, list[Change]]] = {
    "Every model specification is reviewed and checked in": (
        World.ci,
        [
            then(World.ci, DIRTY),
            then(World.ci, set_in("identity", git_dirty=None)),
            then(World.ci, set_in("identity", git_sha="unknown: no git")),
        ],
    ),
    "Offline proxy metrics correlate with online impact": (
        lambda w: w.monitored(versions=LIKE_TEST_DAYS),
        [
            nothing,
            lambda w: w.monitored(versions=LIKE_TEST_DAYS[:4]),
            lambda w: w.monitored(versions=UNLIKE),
            lambda w: w.monitored(versions=[(a, 0.7) for a, _ in LIKE_TEST_DAYS]),
            lambda w: w.monitored(versions=[(a, None) for a, _ in LIKE_TEST_DAYS]),
        ],
    ),
    "All hyperparameters have been tuned": (
        lambda w: w.challenger(trials=4),
        [
            lambda w: w.challenger(trials=1),
            # Another candidate was tuned.
            lambda w: w.change(
                "identity",
                candidates=(w.evaluation.challenger.model_copy(update={"trials": 9}),),
            ),
        ],
    ),
    "The impact of model staleness is known": (
        World.backtest,
        [nothing, lambda w: w.backtest(model="another")],
    ),
    "A simpler model is not better": (
        lambda w: w.line(0.1),
        [lambda w: w.line(0.99), lambda w: w.line(None)],
    ),
    "Model quality is sufficient on all important data slices": (
        lambda w: w.slices("passed", "passed"),
        [
            World.slices,
            lambda w: w.slices("passed", "failed"),
            lambda w: w.slices("passed", "unknown"),
        ],
    ),
}
INFRASTRUCTURE: dict[str, tuple[Change, list[Change]]] = {
    "Training is reproducible": (
        World.reproduced,
        [nothing, lambda w: w.reproduced(code="other code")],
    ),
    "Model specification code is unit tested": with_ci("unit"),
    "The full ML pipeline is integration tested": with_ci("integration"),
    "Model quality is validated before attempting to serve it": (
        lambda w: w.slices("passed"),
        [World.slices],
    ),
    "The model allows debugging by observing a single example": (
        World.explained,
        [
            set_in("details", explanation=None),
            lambda w: w.explained(leave_out=1),
            lambda w: w.explained(is_same=False),
        ],
    ),
    "Models are tested via a canary process before production": (
        then(stage, set_in("spec", deployment=SHADOW)),
        [set_in("spec", deployment=SHADOW), stage],
    ),
    "Models can be quickly and safely rolled back": (
        lambda w: w.ledger_entry(action="rollback"),
        [
            nothing,
            World.ledger_entry,
            lambda w: w.ledger_entry(action="rollback", step="intent"),
        ],
    ),
}
MONITORING: dict[str, tuple[Change, list[Change]]] = {
    "Dependency changes result in notification": (World.libraries, [nothing]),
    "Data invariants hold in training and serving inputs": (
        World.predicted,
        [
            nothing,
            lambda w: w.predicted(long_ago(w)),
            lambda w: w.predicted(model="another"),
            then(World.predicted, World.bare),
        ],
    ),
    "Training and serving features compute the same values": (
        lambda w: w.skew("green"),
        [
            nothing,
            lambda w: w.skew("red"),
            lambda w: w.skew("green", long_ago(w)),
            then(
                lambda w: w.skew("green", w.yesterday - timedelta(days=1)), lambda w: w.skew("red")
            ),
        ],
    ),
    "Models are not too stale": (
        lambda w: w.monitored(staleness="green"),
        [
            nothing,
            lambda w: w.monitored(staleness="amber"),
            lambda w: w.monitored(staleness="red"),
            lambda w: w.monitored(quality="green"),
            lambda w: w.monitored(long_ago(w), staleness="green"),
        ],
    ),
    "The model is numerically stable": (
        nothing,
        [no_number, set_in("evaluation", metrics={})],
    ),
    "Training speed, serving latency and throughput have not regressed": (
        lambda w: w.times(1.0, 0.51),
        [nothing, lambda w: w.times(1.0, 0.49), lambda w: w.times(1.0, None)],
    ),
    "Prediction quality has not regressed on served data": (
        lambda w: w.monitored(quality="green"),
        [
            nothing,
            lambda w: w.monitored(quality="red"),
            lambda w: w.monitored(quality="amber"),
            lambda w: w.monitored(quality="unknown"),
            lambda w: w.monitored(staleness="green"),
        ],
    ),
}
CASES = DATA | MODEL | INFRASTRUCTURE | MONITORING
#: No program can score this one.
NEVER = "The model has been tested for considerations of inclusion"
