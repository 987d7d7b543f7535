"""What a spec says about modeling: candidates, search, gates and where they are fitted."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from evergreen.spec.checks import ConnectionId, ExecutorName, QueueName
from evergreen.spec.data import Columns, Share
from evergreen.spec.metrics import METRIC_DEFINITIONS, Metric
from evergreen.values import Frozen

#: Durations become sums of dates in Airflow, which overflow beyond the year 9999. What is longer
#: than this is a mistake: a question open for a year, a stage of a rollout or a search for a month.
MAX_HOURS, MAX_MINUTES = 24 * 366, 60 * 24 * 31
#: A plain linear model is always in the race, so no candidate of the user's may take its name.
BASELINE = "baseline"


def _within_range(floors: dict[Metric, float]) -> dict[Metric, float]:
    for metric, floor in floors.items():
        low, high = METRIC_DEFINITIONS[metric].low, METRIC_DEFINITIONS[metric].high
        if (low is not None and floor < low) or (high is not None and floor > high):
            bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * bool(high)
            raise ValueError(
                f"found {metric}: {floor:g}; expected a number that {metric} can reach, which is "
                f"{' and '.join(bounds)}"
            )
    return floors


def _identifier(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(f"found {name!r}; expected the name of a function in pipeline.py")
    return name


Floors = Annotated[dict[Metric, float], AfterValidator(_within_range)]
Number = Annotated[int | float, Field(ge=-1e100, le=1e100)]


#: Levels nearer to 1 are rounded to it when they are split among nights and slices.
Confidence = Annotated[float, Field(gt=0.5, le=0.9999)]


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

    space: dict[str, Range | Choices] = Field(min_length=1, max_length=200)
    trials: int = Field(default=8, ge=1, le=500)
    folds: int = Field(default=3, ge=2, le=20)
    minutes: float = Field(default=30, gt=0, le=MAX_MINUTES)


class CandidateSpec(Frozen):
    """One competitor: a function in ``pipeline.py`` (its own name by default) and its search."""

    function: Annotated[str, Field(max_length=200), AfterValidator(_identifier)] | None = None
    search: Search | None = None


class BaselineGate(Frozen):
    """
    How much the challenger must gain on the primary metric over what costs nothing to build.

    ``trivial`` says the same of every row; ``linear`` is a plain linear model of the same inputs.
    Gains are shares of the baseline's loss, of its errors, or of its average precision (of what
    that lacks to 1, if it is less), and plain differences for other metrics. A gain over the
    trivial baseline must reach the margin, and its lower bound at ``confidence`` must be above 0.
    So must one over the linear model if ``linear`` is above 0. Else a challenger may be behind by
    as much, and it is held only if the upper bound of its gain is below 0 too: a week is noisy, and
    the user's own model may be linear.

    The linear model is fitted on at most ``max_rows`` training rows, every day's share of them: its
    some hundred numbers are known from so many as well as from millions.
    """

    trivial: float = Field(default=0.001, ge=0)
    linear: float = -0.01
    confidence: Confidence = 0.975
    max_rows: int = Field(default=200_000, ge=1_000)


class ChampionGate(Frozen):
    """
    The challenger must beat the champion on the same rows, so that ties keep the champion.

    The one-sided lower bound of the paired difference must exceed ``margin``. It takes the test
    days as independent of each other, and nothing of the rows within a day. Its confidence is at
    least ``confidence``, and so high that of challengers which are equal to their champions no more
    than ``false_promotions_per_year`` are promoted in a year, on average; None sets no such limit.

    ``when_unusable``: what becomes of a challenger that passes every other gate while the champion
    cannot be loaded, found in MLflow or asked.
    """

    margin: float = Field(default=0.0, ge=0)
    confidence: Confidence = 0.975
    false_promotions_per_year: float | None = Field(default=0.5, gt=0, le=100)
    when_unusable: Literal["hold", "promote"] = "hold"


class SliceGate(Frozen):
    """
    No slice may fall behind the champion by more than ``max_drop``; small ones are unknown.

    The drop is a share for losses, average precision and accuracy, as in ``baseline``. A slice is
    held only if it is shown to be worse at ``confidence``, corrected for the number of slices.
    """

    columns: Columns = ()
    min_rows: int = Field(default=200, ge=20)
    max_drop: float = Field(default=0.05, ge=0)
    confidence: Confidence = 0.975


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
    max_calibration_ratio: Annotated[float, Field(gt=1, le=1e6)] = 2.0
    max_predict_ms_per_row: float = Field(default=5.0, gt=0)
    max_artifact_mb: float = Field(default=100.0, gt=0)


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
