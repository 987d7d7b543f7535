"""The part of a spec that decides: what competes, what must be passed, what is watched."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from evergreen.spec.checks import ConnectionId, ExecutorName, QueueName, UserName
from evergreen.spec.data import Days, PositiveDays, Problem, Share
from evergreen.values import Frozen

Metric = Literal[
    "roc_auc",
    "average_precision",
    "brier_loss",
    "log_loss",
    "accuracy",
    "balanced_accuracy",
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2",
]
#: What can be measured for each problem; the first is what decides unless the spec says otherwise.
METRICS: dict[Problem, tuple[Metric, ...]] = {
    "binary": ("roc_auc", "average_precision", "brier_loss", "log_loss"),
    "multiclass": ("log_loss", "brier_loss", "accuracy", "balanced_accuracy"),
    "regression": ("mean_absolute_error", "root_mean_squared_error", "r2"),
}
#: The least and the greatest value of each metric; None has no bound.
METRIC_RANGE: dict[Metric, tuple[float | None, float | None]] = {
    "roc_auc": (0, 1),
    "average_precision": (0, 1),
    "brier_loss": (0, 2),
    "log_loss": (0, None),
    "accuracy": (0, 1),
    "balanced_accuracy": (0, 1),
    "mean_absolute_error": (0, None),
    "root_mean_squared_error": (0, None),
    "r2": (None, 1),
}
#: Durations become sums of dates in Airflow, which overflow beyond the year 9999. What is longer
#: than this is a mistake: a question open for a year, a stage of a rollout or a search for a month.
MAX_HOURS, MAX_MINUTES = 24 * 366, 60 * 24 * 31
#: A plain linear model is always in the race, so no candidate of the user's may take its name.
BASELINE = "baseline"


def _within_range(floors: dict[Metric, float]) -> dict[Metric, float]:
    for metric, floor in floors.items():
        low, high = METRIC_RANGE[metric]
        if (low is not None and floor < low) or (high is not None and floor > high):
            bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * bool(high)
            raise ValueError(
                f"found {metric}: {floor:g}; expected a number that {metric} can reach, which is "
                f"{' and '.join(bounds)}"
            )
    return floors


Floors = Annotated[dict[Metric, float], AfterValidator(_within_range)]
Number = Annotated[int | float, Field(ge=-1e100, le=1e100)]


class Range(Frozen):
    """Numbers from ``low`` to ``high``, both included; whole ones if both are whole."""

    low: Number
    high: Number
    log: bool = False

    @model_validator(mode="after")
    def _has_an_inside(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be less than high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range must begin above 0, found low {self.low:g}")
        return self


Choices = Annotated[tuple[bool | int | float | str | None, ...], Field(min_length=1)]


class Search(Frozen):
    """
    Values to try per parameter (scikit-learn names), and how much to spend on them.

    A list holds choices, ``{low, high, log}`` is a range. A trial is measured on ``folds`` later
    parts of the fit days, each time fitted on the days before them. The search ends after
    ``trials`` or ``minutes``, whichever is first.
    """

    space: dict[str, Range | Choices] = Field(min_length=1)
    trials: int = Field(default=8, ge=1, le=500)
    folds: int = Field(default=3, ge=2, le=20)
    minutes: float = Field(default=30, gt=0, le=MAX_MINUTES)


class CandidateSpec(Frozen):
    """One competitor: a function in ``pipeline.py`` (its own name by default) and its search."""

    function: str | None = None
    search: Search | None = None


class BaselineGate(Frozen):
    """
    How much the challenger must gain on the primary metric over what costs nothing to build.

    ``trivial`` says the same of every row; ``linear`` is a plain linear model of the same inputs,
    which a challenger may fall a little behind: a week is noisy, and the user's own model may be
    linear too. In units of the metric, or, for an
    error in the label's own units, as a share of the baseline's.

    The linear model is fitted on at most ``max_rows`` training rows, every day's share of them: its
    some hundred numbers are known from so many as well as from millions.
    """

    trivial: float = Field(default=0.01, ge=0)
    linear: float = -0.01
    max_rows: int = Field(default=200_000, ge=1_000)


class ChampionGate(Frozen):
    """
    The challenger must beat the champion on the same rows, so that ties keep the champion.

    The one-sided lower bound of the paired difference at ``confidence`` must exceed ``margin``. It
    takes the test days as independent of each other, and nothing of the rows within a day.
    """

    margin: float = Field(default=0.0, ge=0)
    confidence: float = Field(default=0.975, gt=0.5, lt=1)


class SliceGate(Frozen):
    """No slice may fall behind the champion by more than ``max_drop``; small ones are unknown."""

    columns: tuple[str, ...] = ()
    min_rows: int = Field(default=200, ge=20)
    max_drop: float = Field(default=0.05, ge=0)


class SanityGate(Frozen):
    """
    The challenger's pipeline, fitted on shuffled labels, must not beat chance.

    It is fitted ``shuffles`` times on at most ``max_rows`` training rows. With too few shuffles for
    how widely they scatter the check cannot fail, and so does not pass. The same number of test
    rows at most is looked at for the worth of each input.
    """

    shuffles: int = Field(default=10, ge=3, le=50)
    max_rows: int = Field(default=2_000, ge=200)


class Gates(Frozen):
    """Every rule a challenger must pass. All are on by default."""

    metric: Metric | None = None
    floors: Floors = Field(default_factory=dict)
    min_test_rows: int = Field(default=200, ge=20)
    baseline: BaselineGate = BaselineGate()
    champion: ChampionGate = ChampionGate()
    slices: SliceGate = SliceGate()
    sanity: SanityGate = SanityGate()
    max_input_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.99
    max_calibration_error: Share = 0.1
    max_predict_ms_per_row: float = Field(default=5.0, gt=0)
    max_artefact_mb: float = Field(default=100.0, gt=0)


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
    """Share of traffic and how long it is watched before the next step."""

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


class Limits(Frozen):
    """
    At which a version on its way to the callers backs out, over the requests of one stage.

    ``max_disagreement``: mean distance between its predictions and the champion's for the same
    rows; in probability, or, for a number, as a share of the champion's. A stage ends when it is
    over and ``min_requests`` were seen; if they do not come within ``wait_hours`` it proved
    nothing.
    """

    max_error_rate: Share = 0.01
    max_p95_ms: float = Field(default=250, gt=0)
    max_disagreement: float = Field(default=0.2, gt=0)
    min_requests: int = Field(default=100, ge=1)
    wait_hours: float = Field(default=6, gt=0, le=24 * 7)


class Stage(Frozen):
    """One stage on a version's way to its callers; ``share`` of the entities see its answers."""

    kind: Literal["load", "shadow", "canary"]
    share: Share = 0.0
    minutes: float = Field(default=0, ge=0)

    def __str__(self) -> str:
        return f"canary {self.share:.0%}" if self.kind == "canary" else self.kind


class SageMaker(Frozen):
    """
    An endpoint that Amazon SageMaker runs, shifts traffic on and rolls back by CloudWatch alarms.

    ``image`` is a container with this project that starts ``python -m evergreen.serving``; ``data``
    an ``s3://`` prefix for model archives. Without an alarm SageMaker never rolls back, so at least
    one is asked for.
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


class Deployment(Frozen):
    """
    How a promoted version reaches its users.

    ``target``: the model server follows the ledger; ``batch`` serves only the score DAG;
    ``sagemaker`` is an endpoint of Amazon's. ``mode`` is what a version must live through on the
    model server before it is champion: nothing, live requests unseen, or shares of the callers.
    """

    target: Literal["server", "batch", "sagemaker"] = "server"
    mode: Literal["direct", "shadow", "canary"] = "direct"
    shadow: Shadow = Shadow()
    canary: Canary = Canary()
    limits: Limits = Limits()
    sagemaker: SageMaker | None = None
    approval: Approval = Approval()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What a version lives through on the model server before it is champion."""
        if self.mode == "direct":
            return ()
        minutes = self.shadow.minutes
        shadow = (Stage(kind="shadow", minutes=minutes),) if minutes else ()
        steps = self.canary.steps if self.mode == "canary" else ()
        canary = (Stage(kind="canary", share=s.share, minutes=s.minutes) for s in steps)
        return (Stage(kind="load"), *shadow, *canary)

    @property
    def longest_hours(self) -> float:
        """How long all stages may take together, with every wait at its longest."""
        if self.sagemaker:
            return 1 + self.sagemaker.bake_minutes / 60
        return sum(s.minutes / 60 + self.limits.wait_hours for s in self.stages)

    @property
    def answer_hours(self) -> float:
        """How long people and stages may take to answer without anything being late."""
        asked = self.approval.within_hours if self.approval.required else 0
        if self.sagemaker:
            return asked + self.sagemaker.bake_minutes / 60
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
        if (self.target == "sagemaker") != (self.sagemaker is not None):
            raise ValueError("target sagemaker and a section sagemaker belong together")
        return self


class Drift(Frozen):
    """
    What counts as a moved world. Decided by monitor; retrain reports what it sees.

    A day is held against the days of ``reference_weeks`` before it, the same weekdays or all. How
    far it lies from them is an alarm if the ``history_days`` before it never were so far, with
    ``false_alarm_rate`` a day over all columns together. ``persistence`` [N, M]: alarms on N of M
    days ask for a retrain. ``weights`` say what a column is worth, by default the champion's own
    permutation importance.

    Brakes, whatever asks: one retrain in ``cool_down_days``, one at a time, and after
    ``max_useless_retrains`` in a row that left the champion as it was none until a person looked.
    """

    columns: tuple[str, ...] | None = None
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    reference_weeks: int = Field(default=4, ge=1, le=52)
    same_weekday: bool = True
    history_days: int = Field(default=60, ge=7, le=730)
    persistence: tuple[int, int] = (3, 5)
    cool_down_days: Days = 7
    max_useless_retrains: int = Field(default=3, ge=1, le=100)
    sample_rows: int = Field(default=5_000, ge=100, le=100_000)

    @model_validator(mode="after")
    def _n_of_m(self) -> Self:
        needed, seen = self.persistence
        if not 1 <= needed <= seen:
            raise ValueError(f"persistence is [N, M] with 1 <= N <= M, found {[needed, seen]}")
        return self


class Quality(Frozen):
    """
    Which metrics are followed once labels arrive, and when they are too low.

    A metric is taken over ``window_days`` together. A day's labels are due ``delay_days`` after its
    end, and may still come, or come again, for ``lookback_days``. Too few of them, less than
    ``min_label_share`` of what is usual, is an alarm. Without ``floors`` those of the gates hold.
    """

    metrics: tuple[Metric, ...] | None = None
    window_days: PositiveDays = 7
    lookback_days: PositiveDays = 28
    delay_days: Days = 1
    min_label_share: Share = 0.5
    min_rows: int = Field(default=200, ge=20)
    floors: Floors = Field(default_factory=dict)

    @model_validator(mode="after")
    def _looks_back_far_enough(self) -> Self:
        least = self.window_days + self.delay_days
        if self.lookback_days < least:
            raise ValueError(
                f"lookback_days {self.lookback_days} must reach over window_days and delay_days, "
                f"{least} together"
            )
        return self


class Service(Frozen):
    """
    What the model server promises its callers, by the day; ``min_traffic_share`` of usual.

    An input may differ from the prepared example of the same event in ``max_skew`` of the rows; at
    least ``min_skew_rows`` known to both are needed to tell. Callers must send the entity key for
    that; null does not look.
    """

    p95_ms: float = Field(default=250, gt=0)
    max_error_rate: Share = 0.01
    min_traffic_share: Share = 0.1
    max_skew: Share | None = 0.01
    min_skew_rows: int = Field(default=50, ge=1)

    @property
    def watches_skew(self) -> bool:
        """Whether what callers send is held against the examples."""
        return self.max_skew is not None


class Staleness(Frozen):
    """
    How old a champion, and the data it learnt from, may grow.

    Without a number the newest backtest decides: the age at which a frozen model has fallen behind
    by ``max_loss`` (units of the metric, or a share for an error in the label's units).
    """

    champion_days: PositiveDays | None = None
    data_days: PositiveDays | None = None
    max_loss: float = Field(default=0.01, gt=0)


class Engine(Frozen):
    """
    Where fits run: in the task, or on the Dask cluster that an Airflow connection names.

    ``executor`` and ``queue`` are Airflow's own, and say where the tasks that fit run.
    """

    dask: ConnectionId | None = None
    executor: ExecutorName | None = None
    queue: QueueName | None = None

    @property
    def placement(self) -> dict[str, str]:
        """Arguments of the tasks that fit, for Airflow."""
        asked = {"executor": self.executor, "queue": self.queue}
        return {name: value for name, value in asked.items() if value}


class SqlSink(Frozen):
    """A table that gets each day's predictions too, through an Airflow connection."""

    connection: ConnectionId
    table: str = Field(pattern=r"^([A-Za-z_]\w*\.)?[A-Za-z_]\w*$")


class Scoring(Frozen):
    """Where predictions go beside the object store."""

    sql: SqlSink | None = None


class Alerts(Frozen):
    """
    Where alerts go, by Airflow connection of type apprise. The task log always gets them.

    A run that has not ended ``late_after_hours`` after it was queued is told of. The time that the
    spec gives people and stages to answer is not counted against it.
    """

    connections: tuple[ConnectionId, ...] = ()
    late_after_hours: float = Field(default=4, gt=0, le=240)


class Retention(Frozen):
    """
    How long history is kept after it was made. Never applies to what the ledger or an alias names.

    Without ``delete`` the housekeeping DAG lists what is too old and removes nothing.
    """

    delete: bool = False
    versions: int = Field(default=60, ge=5)
    reports_days: PositiveDays = 365
    predictions_days: PositiveDays = 365
