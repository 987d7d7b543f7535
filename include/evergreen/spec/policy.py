"""The part of a spec that decides: what competes, what must be passed, what is watched."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from evergreen.spec.data import Days, PositiveDays, Share
from evergreen.values import Frozen

Metric = Literal["roc_auc", "average_precision", "brier_loss", "log_loss"]
#: The baseline is always in the race, so no candidate of the user's may take its name.
BASELINE = "baseline"


class Search(Frozen):
    """Values to try per parameter (scikit-learn names), and how many draws to spend on them."""

    space: dict[str, tuple[Any, ...]] = Field(min_length=1)
    trials: int = Field(default=8, ge=1, le=500)


class CandidateSpec(Frozen):
    """One competitor: a function in ``pipeline.py`` (its own name by default) and its search."""

    function: str | None = None
    search: Search | None = None


class BaselineGate(Frozen):
    """The challenger must beat the trivial baseline by this much on the primary metric."""

    margin: float = Field(default=0.01, ge=0)


class ChampionGate(Frozen):
    """
    The challenger must beat the champion on the same rows, so that ties keep the champion.

    The lower bound of the paired bootstrap interval of the difference, one-sided at
    ``confidence``, must exceed ``margin``.
    """

    margin: float = Field(default=0.0, ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=500, ge=100, le=10_000)


class SliceGate(Frozen):
    """No slice may fall behind the champion by more than ``max_drop``; small ones are unknown."""

    columns: tuple[str, ...] = ()
    min_rows: int = Field(default=200, ge=20)
    max_drop: float = Field(default=0.05, ge=0)


class Gates(Frozen):
    """Every rule a challenger must pass. All are on by default."""

    metric: Metric = "roc_auc"
    floors: dict[Metric, float] = Field(default_factory=dict)
    min_test_rows: int = Field(default=200, ge=20)
    baseline: BaselineGate = BaselineGate()
    champion: ChampionGate = ChampionGate()
    slices: SliceGate = SliceGate()
    max_input_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.99
    max_calibration_error: Share = 0.1
    max_predict_ms_per_row: float = Field(default=5.0, gt=0)
    max_artefact_mb: float = Field(default=100.0, gt=0)


class Approval(Frozen):
    """Whether a person must say yes, who may, and how long the question stays open."""

    required: bool = False
    users: tuple[str, ...] = ()
    within_hours: float = Field(default=24, gt=0)


class CanaryStep(Frozen):
    """Share of traffic and how long it is watched before the next step."""

    share: Annotated[float, Field(gt=0, le=1)]
    minutes: float = Field(gt=0)


class Canary(Frozen):
    """Steps of a canary and the limits at which it backs out."""

    steps: tuple[CanaryStep, ...] = ()
    max_error_rate: Share = 0.01
    max_p95_ms: float = Field(default=250, gt=0)
    max_disagreement: Share = 0.2


class Deployment(Frozen):
    """How a promoted version reaches its users."""

    mode: Literal["direct", "shadow", "canary"] = "direct"
    canary: Canary = Canary()
    approval: Approval = Approval()

    @model_validator(mode="after")
    def _canary_has_steps(self) -> Self:
        if self.mode == "canary" and not self.canary.steps:
            raise ValueError("mode canary needs canary.steps, such as [{share: 0.1, minutes: 10}]")
        return self


class Drift(Frozen):
    """What counts as a moved world. Decided by monitor; retrain reports what it sees."""

    columns: tuple[str, ...] | None = None
    weights: dict[str, float] = Field(default_factory=dict)
    false_alarm_rate: Share = 0.02
    persistence: tuple[int, int] = (3, 5)
    cool_down_days: Days = 7
    sample_rows: int = Field(default=5_000, ge=100, le=100_000)

    @model_validator(mode="after")
    def _n_of_m(self) -> Self:
        needed, seen = self.persistence
        if not 1 <= needed <= seen:
            raise ValueError(f"persistence is [N, M] with 1 <= N <= M, found {[needed, seen]}")
        return self


class Quality(Frozen):
    """Which metrics are followed once labels arrive, and when they are too low."""

    metrics: tuple[Metric, ...] = ("roc_auc", "brier_loss")
    delay_days: Days = 1
    floors: dict[Metric, float] = Field(default_factory=dict)


class Service(Frozen):
    """What the model server promises its callers."""

    p95_ms: float = Field(default=250, gt=0)
    max_error_rate: Share = 0.01


class Staleness(Frozen):
    """How old a champion, and the data it learnt from, may grow."""

    champion_days: PositiveDays = 14
    data_days: PositiveDays = 14


class Alerts(Frozen):
    """Where alerts go, by Airflow connection. The task log always gets them."""

    connections: tuple[str, ...] = ()


class Retention(Frozen):
    """
    How long history is kept after it was made. Never applies to what the ledger or an alias names.

    Without ``delete`` the housekeeping DAG lists what is too old and removes nothing.
    """

    delete: bool = False
    versions: int = Field(default=60, ge=5)
    reports_days: PositiveDays = 365
    predictions_days: PositiveDays = 365
