"""What a spec says about monitoring: drift, quality, service levels and staleness."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from evergreen.spec.data import ColumnNames, DayCount, PositiveDayCount, Share
from evergreen.spec.modeling import Floors
from evergreen.values import Frozen


class Drift(Frozen):
    """
    What counts as a moved world. Decided by monitor; retrain reports what it sees.

    A day is held against the days of ``reference_weeks`` before it, the same weekdays or all. How
    far it lies from them is an alarm if the ``history_days`` before it never were so far, with
    ``false_alarm_rate`` a day over all columns together. ``persistence`` [N, M]: alarms on N of M
    days ask for a retrain. ``weights`` say what a column is worth, by default the champion's own
    permutation importance.

    Slow drift is found beside that: the last three weeks against the seven weeks before them, of a
    reach of ``history_days`` and ``reference_weeks`` that has so many days. It asks for a retrain
    once, unless the champion has learnt from later days.

    Brakes, whatever asks: one retrain in ``cool_down_days``, one at a time, and after
    ``max_useless_retrains`` in a row that left the champion as it was none until a person looked.
    """

    columns: ColumnNames | None = None
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    reference_weeks: int = Field(default=4, ge=1, le=52)
    same_weekday: bool = True
    history_days: int = Field(default=60, ge=7, le=730)
    persistence: tuple[int, int] = (3, 5)
    cool_down_days: DayCount = 7
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
    When the metrics of scored days, once labels arrive, are too low.

    A metric is taken over ``window_days`` together. A day's labels are due ``delay_days`` after its
    end, and may still come, or come again, for ``lookback_days``. Too few of them, less than
    ``min_label_share`` of what is usual, is an alarm. Without ``floors`` those of the gates hold.

    A version may gain ``max_drop`` less over a constant answer than on its own test days, as a
    share of the constant's loss (a difference for ROC-AUC, balanced accuracy and r2). More, if the
    days show that it fell, is red.
    """

    window_days: PositiveDayCount = 7
    lookback_days: PositiveDayCount = 28
    delay_days: DayCount = 1
    min_label_share: Share = 0.5
    min_rows: int = Field(default=200, ge=20)
    floors: Floors = Field(default_factory=dict)
    max_drop: float = Field(default=0.05, gt=0)

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

    champion_days: PositiveDayCount | None = None
    data_days: PositiveDayCount | None = None
    max_loss: float = Field(default=0.01, gt=0)
