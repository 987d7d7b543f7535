"""
The metrics: what each measures, for which problems, and in which direction it is better.

One entry here is all that a new metric needs (``docs/extending.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evergreen.spec.data import Problem


@dataclass(frozen=True, kw_only=True)
class MetricDefinition:
    """
    One metric.

    :param function: Dotted name of ``function(labels, predictions)``; imported when it is used.
    :param problems: The problems it can be measured for.
    :param low: The least value it can have; None if there is none.
    :param high: The greatest value it can have; None if there is none.
    :param lower_is_better: Whether it is a loss.
    :param in_label_units: Whether it has the unit of the label; a gain is then a share of it.
    :param skill_of: What a gain over a baseline is a share of, if it is no loss: the ``errors`` of
        the baseline (1 less its value), the ``smaller`` one of its value and its errors, or
        nothing, for a plain ``difference``.
    :param needs_classes: Whether it takes the probability of every class, by ``labels=``, where
        there are several classes; others take the likeliest class.
    """

    function: str
    problems: tuple[Problem, ...]
    low: float | None = 0
    high: float | None = None
    lower_is_better: bool = False
    in_label_units: bool = False
    skill_of: Literal["difference", "errors", "smaller"] = "difference"
    needs_classes: bool = False


#: Every metric by its name in ``model.yaml``, in the order of tables and pages.
METRIC_DEFINITIONS: dict[str, MetricDefinition] = {
    "roc_auc": MetricDefinition(
        function="sklearn.metrics.roc_auc_score", problems=("binary",), high=1
    ),
    "average_precision": MetricDefinition(
        function="sklearn.metrics.average_precision_score",
        problems=("binary",),
        high=1,
        skill_of="smaller",
    ),
    "brier_loss": MetricDefinition(
        function="sklearn.metrics.brier_score_loss",
        problems=("binary", "multiclass"),
        high=2,
        lower_is_better=True,
        needs_classes=True,
    ),
    "log_loss": MetricDefinition(
        function="sklearn.metrics.log_loss",
        problems=("binary", "multiclass"),
        lower_is_better=True,
        needs_classes=True,
    ),
    "accuracy": MetricDefinition(
        function="sklearn.metrics.accuracy_score",
        problems=("multiclass",),
        high=1,
        skill_of="errors",
    ),
    "balanced_accuracy": MetricDefinition(
        function="sklearn.metrics.balanced_accuracy_score", problems=("multiclass",), high=1
    ),
    "mean_absolute_error": MetricDefinition(
        function="sklearn.metrics.mean_absolute_error",
        problems=("regression",),
        lower_is_better=True,
        in_label_units=True,
    ),
    "root_mean_squared_error": MetricDefinition(
        function="sklearn.metrics.root_mean_squared_error",
        problems=("regression",),
        lower_is_better=True,
        in_label_units=True,
    ),
    "r2": MetricDefinition(
        function="sklearn.metrics.r2_score", problems=("regression",), low=None, high=1
    ),
}
#: The metric that decides unless the spec names another.
DEFAULT_METRIC: dict[Problem, str] = {
    "binary": "roc_auc",
    "multiclass": "log_loss",
    "regression": "mean_absolute_error",
}

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[tuple(METRIC_DEFINITIONS)]  # pydantic lists them in errors and the schema


def metrics_of(problem: Problem) -> tuple[Metric, ...]:
    """Return the metrics of *problem*: the one that decides by default, then the others."""
    first = DEFAULT_METRIC[problem]
    others = (n for n, d in METRIC_DEFINITIONS.items() if problem in d.problems and n != first)
    return (first, *others)
