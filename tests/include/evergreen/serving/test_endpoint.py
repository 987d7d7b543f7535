"""Who answers which row, and what is said of it, while a version is on its way."""

from __future__ import annotations

import asyncio
from collections import Counter

import numpy as np
import pytest

from evergreen.serving.endpoint import (
    Endpoint,
    NotServingError,
    PredictionResult,
    ServedVersions,
    StageStats,
)
from evergreen.serving.inputs import InputError, RequestRows, check
from evergreen.serving.protocol import InferRequest, infer_answer, invocations_answer
from evergreen.serving.served_version import OverloadedError, PredictionError
from evergreen.spec import load_spec
from evergreen.spec.release import Deployment, RolloutLimits, RolloutStage

SPEC = load_spec("flight_delay").model_copy(
    update={"deployment": Deployment(limits=RolloutLimits(max_p95_ms=50))}
)


class Version:
    """A version that says of each row its hour, divided by a number that tells versions apart."""

    def __init__(
        self,
        version: str,
        *,
        divisor: float,
        error: Exception | None = None,
        delay_s: float = 0,
        classes: tuple[str, ...] = ("False", "True"),
    ) -> None:
        self.version, self.name, self.divisor = version, f"m version {version}", divisor
        self.error, self.delay_s, self.classes = error, delay_s, classes
        self.asked = 0

    async def predict(self, columns, rows, *, within_s):
        self.asked += rows
        if self.delay_s > within_s:
            await asyncio.sleep(within_s)
            raise PredictionError(f"{self.name} gave no answer within {within_s:g} s")
        await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        return np.asarray(columns["hour"], dtype=float) / self.divisor


def rows(count: int) -> RequestRows:
    columns = {name: [1.0] * count for name in SPEC.examples.numeric}
    columns |= {name: ["x"] * count for name in SPEC.examples.categorical}
    columns |= {
        "hour": list(range(count)),
        "flight": list(range(count)),
        "scheduled_departure": ["2013-03-01"] * count,
    }
    return check(columns, spec=SPEC.examples, needed=SPEC.examples.features, max_rows=10_000)


def answered(
    asked: RequestRows, *, stage: RolloutStage, challenger: Version, champion: Version | None = None
):
    """Ask once; return the answer and what was seen, comparisons finished."""
    endpoint = Endpoint(SPEC, timeout_s=5)
    seen = StageStats(slow_ms=SPEC.deployment.limits.max_p95_ms)
    endpoint.traffic = ServedVersions(
        champion=champion or Version("1", divisor=100),
        challenger=challenger,
        stage=stage,
        seen=seen,
    )

    async def ask() -> PredictionResult:
        found = await endpoint.answer(asked)
        while endpoint._background:
            await asyncio.sleep(0.01)
        return found

    return asyncio.run(ask()), seen, endpoint


def canary(share: float) -> RolloutStage:
    return RolloutStage(kind="canary", share=share, minutes=1)


def test_before_any_version_nobody_answers():
    with pytest.raises(NotServingError, match="no version of flight_delay is loaded yet"):
        asyncio.run(Endpoint(SPEC, timeout_s=1).answer(rows(1)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_each_row_of_a_batch_is_answered_in_its_place_by_its_version(share):
    found, seen, _ = answered(rows(2000), stage=canary(share), challenger=Version("2", divisor=50))

    expected = [n / (50 if by == "2" else 100) for n, by in enumerate(found.versions)]
    assert found.scores.tolist() == expected
    assert Counter(found.versions)["2"] == pytest.approx(2000 * share, abs=80)
    assert seen.challenger.requests == seen.champion.requests - 1 == 1
    assert seen.compared == Counter(found.versions)["2"]


def test_a_larger_share_only_adds_entities_and_another_version_draws_others():
    def chosen(share: float, version: str = "2") -> set[int]:
        found, _, _ = answered(
            rows(500), stage=canary(share), challenger=Version(version, divisor=50)
        )
        return {n for n, by in enumerate(found.versions) if by == version}

    assert chosen(0.1) == chosen(0.1)
    assert chosen(0.1) < chosen(0.5) < chosen(1.0)
    assert chosen(0.1) != chosen(0.1, "3")


def test_in_shadow_nobody_sees_the_new_version_and_both_are_compared():
    found, seen, _ = answered(
        rows(10), stage=RolloutStage(kind="shadow", minutes=1), challenger=Version("2", divisor=50)
    )

    assert set(found.versions) == {"1"}
    assert found.scores.tolist() == [n / 100 for n in range(10)]
    assert (seen.compared, seen.scale) == (10, 10)
    assert seen.difference == pytest.approx(sum(n / 100 for n in range(10)))


@pytest.mark.parametrize(
    ("challenger", "message"),
    [
        (Version("2", divisor=50, error=PredictionError("it raised")), "it raised"),
        (Version("2", divisor=50, error=OverloadedError("too much")), "too much"),
        (Version("2", divisor=50, delay_s=1), "gave no answer within 0.1 s"),
        (Version("2", divisor=50, classes=("no", "yes")), "knows the classes no, yes"),
    ],
)
def test_where_the_new_version_fails_the_champions_answer_counts(challenger, message):
    found, seen, endpoint = answered(rows(4), stage=canary(1.0), challenger=challenger)

    assert found.versions == ["1"] * 4
    assert found.scores.tolist() == [0, 0.01, 0.02, 0.03]
    assert (seen.challenger.requests, seen.challenger.failed) == (1, 1)
    assert message in seen.error
    assert endpoint.fallbacks == 1


def test_a_failing_new_version_in_shadow_is_counted_and_not_seen():
    challenger = Version("2", divisor=1, error=PredictionError("no"))

    found, seen, _ = answered(
        rows(4), stage=RolloutStage(kind="shadow", minutes=1), challenger=challenger
    )

    assert found.versions == ["1"] * 4
    assert (seen.challenger.failed, seen.compared) == (1, 0)


def test_several_classes_are_named_in_the_answer_and_numbers_come_as_they_are():
    request = InferRequest(inputs=[{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}])
    several = PredictionResult(
        scores=np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]),
        versions=["3", "4"],
        classes=("early", "late", "lost"),
    )
    number = PredictionResult(scores=np.array([12.5]), versions=["3"], classes=())

    said = infer_answer(request, "m", several)
    outputs = {one["name"]: one for one in said["outputs"]}

    assert outputs["score"]["shape"] == [2, 3]
    assert outputs["score"]["data"] == [0.2, 0.7, 0.1, 0.5, 0.3, 0.2]
    assert outputs["predicted_class"]["data"] == ["late", "early"]
    assert outputs["version"]["data"] == ["3", "4"]
    assert said["parameters"] == {"classes": ["early", "late", "lost"]}
    assert invocations_answer("m", number)["predictions"] == [12.5]
    assert invocations_answer("m", several)["model_versions"] == ["3", "4"]


def test_a_tensor_must_be_a_column_and_come_once():
    one = {"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2]}

    assert InferRequest(inputs=[one | {"shape": [2, 1], "data": [[1], [2]]}]).columns() == {
        "a": [1, 2]
    }
    for bad in ([one | {"shape": [3]}], [one, one], [one | {"shape": [1, 2]}]):
        with pytest.raises(InputError, match="expected each column once, of shape"):
            InferRequest(inputs=bad).columns()
