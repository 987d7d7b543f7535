"""
Explain the prediction of one row: what each input adds to it.

One input at a time gets the values that other rows have, and the change of the prediction is what
the input adds (Robnik-Sikonja and Kononenko, "Explaining Classifications for Individual Instances",
IEEE Transactions on Knowledge and Data Engineering 20(5), 2008). The contributions do not sum to
the prediction, and of two inputs that say the same, neither may seem to add much.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from evergreen.modeling.prediction import inputs_of, predict
from evergreen.receipts.modeling import ExplanationCheck
from evergreen.spec import ModelSpec
from evergreen.values import Frozen

log = logging.getLogger(__name__)

#: Rows whose values stand in for the explained row's; more make little difference.
REFERENCE_ROWS = 100
#: Predictions of a row alone and among others may differ by rounding only.
SAME = 1e-9


class Contribution(Frozen):
    """One input of the explained row, what other rows usually have, and what it adds."""

    name: str
    value: float | str | None
    usual: float | str | None
    contribution: float


class Explanation(Frozen):
    """
    The prediction of one row, and what each input adds to it, largest first.

    ``answer``: what the prediction is: a probability of which class, or a number. ``class_name``:
    of several classes the explained one; None for other problems.
    """

    answer: str
    class_name: str | None
    prediction: float
    reference_rows: int
    contributions: tuple[Contribution, ...]


def explain_row(
    model: Pipeline, row: pd.DataFrame, reference: pd.DataFrame, *, spec: ModelSpec
) -> Explanation:
    """
    Explain what *model* predicts for *row*; of several classes, for the likeliest one.

    :param row: Prepared inputs, shape ``(1, columns)``.
    :param reference: Other prepared rows, shape ``(rows, columns)``; at most 100 are used.
    :raises ValueError: If *row* is not one row, or *reference* is empty.
    """
    if len(row) != 1 or not len(reference):
        raise ValueError(f"one row and some others are needed, found {len(row)}, {len(reference)}")
    inputs = inputs_of(model, row, spec=spec.examples)
    others = inputs_of(model, reference, spec=spec.examples).iloc[:REFERENCE_ROWS]
    alone = np.atleast_2d(predict(model, inputs, spec=spec.examples))
    chosen = int(alone[0].argmax())
    repeated = pd.concat([inputs] * len(others), ignore_index=True)
    changed = pd.concat(
        [repeated.assign(**{name: others[name].array}) for name in inputs], ignore_index=True
    )
    answers = predict(model, changed, spec=spec.examples).reshape(len(changed), -1)[:, chosen]
    means = answers.reshape(len(inputs.columns), len(others)).mean(axis=1)
    found = [
        Contribution(
            name=str(name),
            value=_plain(inputs[name].iloc[0]),
            usual=_usual(others[name]),
            contribution=float(alone[0, chosen] - mean),
        )
        for name, mean in zip(inputs.columns, means, strict=True)
    ]
    class_name = str(model.classes_[chosen]) if spec.examples.problem == "multiclass" else None
    return Explanation(
        answer=_answer(spec, class_name),
        class_name=class_name,
        prediction=float(alone[0, chosen]),
        reference_rows=len(others),
        contributions=tuple(sorted(found, key=lambda one: -abs(one.contribution))),
    )


def check_explanation(
    model: Pipeline, spec: ModelSpec, *, test: pd.DataFrame
) -> ExplanationCheck | None:
    """
    Explain the first of the *test* rows by the others, and return what holds of it, no value.

    A row that gets another prediction alone than among others cannot be debugged alone.

    :return: None if the model fails on one row; the log says how.
    """
    try:
        return _check(model, spec, test)
    except Exception:  # whatever the model's own code raises; this check stops no night
        log.exception("No single row could be explained.")
        return None


def _check(model: Pipeline, spec: ModelSpec, test: pd.DataFrame) -> ExplanationCheck:
    rows = test.iloc[: REFERENCE_ROWS + 1]
    reference = rows.iloc[1:] if len(rows) > 1 else rows
    found = explain_row(model, rows.iloc[:1], reference, spec=spec)
    among = np.atleast_2d(predict(model, rows, spec=spec.examples).reshape(len(rows), -1)[0])
    return ExplanationCheck(
        inputs=sum(math.isfinite(one.contribution) for one in found.contributions),
        reference_rows=found.reference_rows,
        is_same_alone=bool(np.isclose(among.max(), found.prediction, rtol=SAME, atol=SAME)),
    )


def _answer(spec: ModelSpec, class_name: str | None) -> str:
    if spec.examples.problem == "regression":
        return spec.examples.label
    name = spec.examples.positive_class if class_name is None else class_name
    return f"probability that {spec.examples.label} is {name}"


def _usual(values: pd.Series) -> float | str | None:
    """Return the median of numbers, the commonest of texts."""
    if pd.api.types.is_numeric_dtype(values):
        return _plain(values.median())
    counts = values.value_counts()
    return None if counts.empty else str(counts.index[0])


def _plain(value: object) -> float | str | None:
    if pd.isna(value):
        return None
    return float(value) if isinstance(value, (int, float, np.number)) else str(value)
