"""What a spec says about releasing a version: approval, stages, targets and their limits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from evergreen.spec.checks import UserName
from evergreen.spec.data import Share
from evergreen.spec.modeling import MAX_HOURS, MAX_MINUTES
from evergreen.values import Frozen


class Approval(Frozen):
    """
    Whether a person must say yes, who may, and how long the question stays open.

    Without ``users`` everybody may who can answer for the DAG. No answer in time means no. The next
    night waits for this one, so keep ``within_hours`` below the time between two runs.
    """

    required: bool = False
    users: tuple[UserName, ...] = ()
    within_hours: float = Field(default=12, gt=0, le=MAX_HOURS)


class CanaryStep(Frozen):
    """Share of traffic and how long it is observed before the next step."""

    share: Annotated[float, Field(gt=0, le=1)]
    minutes: float = Field(gt=0, le=MAX_MINUTES)


class Canary(Frozen):
    """Steps of a canary: whose entity falls into the share is answered by the new version."""

    steps: Annotated[tuple[CanaryStep, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _rises(self) -> Self:
        shares = [step.share for step in self.steps]
        if shares != sorted(set(shares)):
            raise ValueError(f"canary.steps must rise from step to step, found shares {shares}")
        return self


class Shadow(Frozen):
    """How long a new version answers the live requests unseen, beside the champion; 0: never."""

    minutes: float = Field(default=10, ge=0, le=MAX_MINUTES)


class RolloutLimits(Frozen):
    """
    At which a version on its way to the callers backs out, over the requests of one stage.

    ``max_error_rate`` and ``max_p95_ms`` are held by sequential tests: for each limit, a version
    within it backs out in at most 1 % of stages, and one that fails three times as often as
    allowed, or is too slow twice as often, passes a stage in at most 5 %. What the champion suffers
    at the same time is held against no version. ``max_disagreement``: mean distance between its
    predictions and the champion's for the same rows; in probability, or, for a number, as a share
    of the champion's.

    A stage ends when it is over and enough requests were seen to decide: as many as the limits
    call for, and at least ``min_requests`` if it is set. If they do not come within ``wait_hours``
    the stage proved nothing.
    """

    max_error_rate: Share = 0.01
    max_p95_ms: float = Field(default=250, gt=0)
    max_disagreement: float = Field(default=0.2, gt=0)
    min_requests: int | None = Field(default=None, ge=1)
    wait_hours: float = Field(default=6, gt=0, le=24 * 7)


class RolloutStage(Frozen):
    """One stage on a version's way to its callers; ``share`` of the entities see its answers."""

    kind: Literal["load", "shadow", "canary"]
    share: Share = 0.0
    minutes: float = Field(default=0, ge=0)

    def __str__(self) -> str:
        return f"canary {self.share:.0%}" if self.kind == "canary" else self.kind


class ManagedTarget(Frozen):
    """A target that brings a version to its callers by itself."""

    @property
    def hours(self) -> float:
        """How long it takes to bring a version to its callers, when nothing goes wrong."""
        raise NotImplementedError


class SageMaker(ManagedTarget):
    """
    An endpoint that Amazon SageMaker runs, shifts traffic on and rolls back by CloudWatch alarms.

    ``image`` is a container with this project that starts ``python -m evergreen serve``; ``data``
    an ``s3://`` prefix for model archives. Without an alarm SageMaker never rolls back, so at least
    one is requested.
    """

    endpoint: str = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
    role: str = Field(pattern=r"^arn:")
    image: str = Field(min_length=1)
    data: str = Field(pattern=r"^s3://[^/]+(/[^/]+)*$")
    alarms: tuple[str, ...] = Field(min_length=1, max_length=10)
    instance_type: str = "ml.m5.large"
    instances: int = Field(default=1, ge=1)
    canary_share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    bake_minutes: int = Field(default=10, ge=1, le=60)

    @property
    def hours(self) -> float:
        """How long CloudWatch alarms are observed before the version has all callers."""
        return self.bake_minutes / 60


#: The targets that have a section of their own, which is a :class:`ManagedTarget`.
MANAGED_TARGETS = ("sagemaker",)


class Deployment(Frozen):
    """
    How a promoted version reaches its users.

    ``target``: the model server follows the ledger; ``batch`` serves only the score DAG;
    ``sagemaker`` is an endpoint of Amazon's. ``mode`` is what a version must live through on the
    model server before it is champion: nothing, live requests unseen, or shares of the callers.

    ``on_red``: whether a night promotes while the newest day of monitor is red. A retrain that
    monitor requested or a person started is the answer to such a day, and is never held.
    """

    target: Literal["server", "batch", "sagemaker"] = "server"
    mode: Literal["direct", "shadow", "canary"] = "direct"
    shadow: Shadow = Shadow()
    canary: Canary = Canary()
    limits: RolloutLimits = RolloutLimits()
    sagemaker: SageMaker | None = None
    approval: Approval = Approval()
    on_red: Literal["hold", "warn"] = "hold"

    @property
    def managed(self) -> ManagedTarget | None:
        """The section of the target, where it brings versions to callers by itself."""
        return getattr(self, self.target) if self.target in MANAGED_TARGETS else None

    @property
    def stages(self) -> tuple[RolloutStage, ...]:
        """What a version lives through on the model server before it is champion."""
        if self.mode == "direct":
            return ()
        minutes = self.shadow.minutes
        shadow = (RolloutStage(kind="shadow", minutes=minutes),) if minutes else ()
        steps = self.canary.steps if self.mode == "canary" else ()
        canary = (RolloutStage(kind="canary", share=s.share, minutes=s.minutes) for s in steps)
        return (RolloutStage(kind="load"), *shadow, *canary)

    @property
    def longest_hours(self) -> float:
        """How long all stages may take together, with every wait at its longest."""
        if self.managed:
            return 1 + self.managed.hours
        return sum(s.minutes / 60 + self.limits.wait_hours for s in self.stages)

    @property
    def answer_hours(self) -> float:
        """How long people and stages may take to answer without anything being late."""
        asked = self.approval.within_hours if self.approval.required else 0
        if self.managed:
            return asked + self.managed.hours
        return asked + sum(s.minutes for s in self.stages) / 60

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.mode == "canary" and not self.canary.steps:
            raise ValueError("mode canary needs canary.steps, such as [{share: 0.1, minutes: 10}]")
        if self.mode == "shadow" and not self.shadow.minutes:
            raise ValueError("mode shadow needs shadow.minutes above 0")
        if self.mode != "direct" and self.target != "server":
            raise ValueError(
                f"mode {self.mode} is done by the model server, the target is {self.target}; "
                "write mode direct, or target server"
            )
        for name in MANAGED_TARGETS:
            if (self.target == name) != (getattr(self, name) is not None):
                raise ValueError(f"target {name} and a section {name} belong together")
        return self
