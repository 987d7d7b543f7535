"""The part of a spec about data: what it means and what it must look like."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from evergreen.spec.checks import ColumnName, Pattern
from evergreen.values import Frozen

Share = Annotated[float, Field(ge=0, le=1)]
DayCount = Annotated[int, Field(ge=0, le=3660)]
PositiveDayCount = Annotated[int, Field(ge=1, le=3660)]
#: What is asked of a model: one of two classes, one of several, or a number.
Problem = Literal["binary", "multiclass", "regression"]
#: More columns than this are a generated file, and every check of a spec would take its time.
MAX_COLUMNS = 2_000
Columns = Annotated[tuple[ColumnName, ...], Field(max_length=MAX_COLUMNS)]
ColumnNames = Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=MAX_COLUMNS)]


class Examples(Frozen):
    """
    What one prepared row is.

    ``numeric`` and ``categorical`` are the model's inputs, and all of them: a column of
    ``prepare`` that is not named here is an error, so that no input slips in unseen.

    A binary label has two values: the positive class and one other, which ``negative_class`` can
    name. Of the rows that ``prepare`` returns for a day at most ``quarantine_budget`` may be
    unusable; they are left out and kept.
    """

    entity_key: ColumnNames
    label: ColumnName
    problem: Problem = "binary"
    positive_class: bool | int | str = True
    negative_class: bool | int | str | None = None
    numeric: Columns = ()
    categorical: Columns = ()
    event_time: ColumnName = "event_time"
    known_at: ColumnName = "known_at"
    constant_allowed: Columns = ()
    quarantine_budget: Share = 0.01

    @property
    def features(self) -> tuple[str, ...]:
        """Inputs of the model, numeric first, in the order the spec names them."""
        return self.numeric + self.categorical

    @model_validator(mode="after")
    def _no_leakage(self) -> Self:
        if not self.features:
            raise ValueError("name at least one input in numeric or categorical")
        for what, names in (("inputs", self.features), ("entity_key", self.entity_key)):
            twice = sorted(name for name, times in Counter(names).items() if times > 1)
            if twice:
                raise ValueError(
                    f"named more than once among the {what}: {twice}; keep one of each"
                )
        if self.label in {*self.entity_key, self.event_time, self.known_at}:
            raise ValueError(
                f"label {self.label!r} is also in entity_key, event_time or known_at; a label says "
                "what happened to a row and cannot identify it"
            )
        leaked = {self.label, self.known_at, self.event_time} & set(self.features)
        if leaked:
            raise ValueError(
                f"inputs must not contain {sorted(leaked)}: a model that sees its label or its "
                "timestamps scores well and predicts nothing"
            )
        unknown = set(self.constant_allowed) - set(self.features)
        if unknown:
            raise ValueError(f"constant_allowed names {sorted(unknown)}, which are not inputs")
        return self


class ColumnContract(Frozen):
    """
    What one raw column promises. A row that breaks it is quarantined, a type never is.

    ``known_later``: the label, or what it is made from. Such a column may be null throughout, or
    not there, on a day that is scored or monitored; a day to learn from must have it.
    ``personal``: its values are removed from the rows that are quarantined.
    """

    type: Literal["string", "integer", "number", "boolean", "datetime"]
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: Annotated[tuple[str, ...], Field(min_length=1, max_length=50_000)] | None = None
    pattern: Pattern | None = None
    unique: bool = False
    known_later: bool = False
    personal: bool = False

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> Self:
        if self.type not in ("integer", "number") and (self.minimum, self.maximum) != (None, None):
            raise ValueError(f"minimum and maximum are for numbers, the type is {self.type}")
        if self.type != "string" and (self.categories or self.pattern):
            raise ValueError(f"categories and pattern are for strings, the type is {self.type}")
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:  # type: ignore[operator]
            raise ValueError(f"minimum {self.minimum} exceeds maximum {self.maximum}")
        return self


class TableContract(Frozen):
    """
    What one day of one table promises.

    Its number of rows must lie between ``min_rows_vs_history`` and ``max_rows_vs_history`` times
    the usual one: the median of the same weekdays in the ``history_days`` before it, or of all of
    them if fewer than four are the same weekday.
    """

    columns: dict[ColumnName, ColumnContract] = Field(default_factory=dict, max_length=MAX_COLUMNS)
    event_time: ColumnName | None = None
    duplicate_key: Columns = ()
    quarantine_budget: Share = 0.01
    min_rows: int = Field(default=1, ge=1)
    min_rows_vs_history: Share = 0.5
    max_rows_vs_history: float = Field(default=10, ge=1, le=1e6)
    history_days: int = Field(default=28, ge=7, le=3660)
    fresh_within_hours: float = Field(default=24, gt=0, le=24 * 3660)

    @property
    def personal_columns(self) -> frozenset[str]:
        """Columns that are declared personal data."""
        return frozenset(name for name, rule in self.columns.items() if rule.personal)

    @model_validator(mode="after")
    def _names_what_it_describes(self) -> Self:
        named = set(self.duplicate_key) | ({self.event_time} if self.event_time else set())
        if unknown := named - set(self.columns):
            raise ValueError(f"{sorted(unknown)} are used but not described under columns")
        if self.event_time and self.columns[self.event_time].type != "datetime":
            raise ValueError(f"event_time {self.event_time} must have type datetime")
        if self.event_time and self.columns[self.event_time].nullable:
            raise ValueError(
                f"event_time {self.event_time} is nullable; a row without it belongs to no day, so "
                "leave nullable out"
            )
        if late := sorted(name for name in named if self.columns[name].known_later):
            raise ValueError(f"{late} cannot be known_later: they identify a row")
        return self


class WindowSpec(Frozen):
    """
    How far back a run looks, in whole UTC days, counted backwards from ``as_of``.

    ``label_delay_days`` are left out at the end because their labels are not known yet; then come
    ``test_days``, a gap, and ``train_days`` of which the last ``validation_days`` rank the
    candidates (with the same gap before them). The gap is ``gap_days`` and ``label_delay_days``
    together: when the test days began, later labels were not known either.

    Of more labelled training rows than ``max_train_rows`` every day gives the same share, drawn by
    the spec's seed: for a window that does not fit into memory. Test days are never thinned out.
    """

    train_days: PositiveDayCount = 60
    validation_days: PositiveDayCount = 7
    gap_days: DayCount = 1
    test_days: PositiveDayCount = 14
    label_delay_days: DayCount = 0
    max_train_rows: int | None = Field(default=None, ge=1_000)

    @property
    def days_between(self) -> int:
        """Days left out between one segment and the next."""
        return self.gap_days + self.label_delay_days

    @model_validator(mode="after")
    def _leaves_days_to_fit_on(self) -> Self:
        left = self.train_days - self.validation_days - self.days_between
        if left < 1:
            delay = self.label_delay_days
            late = f" and label_delay_days {delay}" if delay else ""
            raise ValueError(
                f"train_days {self.train_days} less validation_days {self.validation_days} and "
                f"gap_days {self.gap_days}{late} leaves {left} days to fit on; at least 1 is "
                "needed"
            )
        return self
