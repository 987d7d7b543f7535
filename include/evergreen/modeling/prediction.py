"""What a fitted pipeline says about rows, in one form per problem."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from evergreen.errors import ArtifactError
from evergreen.modeling.metrics import Predictions, classes_among
from evergreen.spec.data import Examples


def predict(
    model: Pipeline, rows: pd.DataFrame, *, spec: Examples, classes: tuple[str, ...] = ()
) -> Predictions:
    """
    Return the probability of the positive class, of every class, or the number itself.

    :param classes: Order of the columns for several classes; the model's own if empty. A class the
        model never saw has probability 0.
    :return: Shape ``(rows,)``, or ``(rows, classes)`` for a multi-class problem.
    :raises ArtifactError: If a column *model* needs is not in *rows*.
    """
    inputs = inputs_of(model, rows, spec=spec)
    if spec.problem == "regression":
        return np.asarray(model.predict(inputs), dtype=np.float64)
    probabilities = np.asarray(model.predict_proba(inputs), dtype=np.float64)
    if spec.problem == "binary":
        return probabilities[:, 1]
    found = pd.DataFrame(probabilities, columns=[str(name) for name in model.classes_])
    order = list(classes) or list(found.columns)
    return np.asarray(found.reindex(columns=order, fill_value=0.0), dtype=np.float64)


def classes_of(model: Pipeline, rows: pd.DataFrame, *, spec: Examples) -> tuple[str, ...]:
    """Return every class that *model* or *rows* know, sorted; none unless there are several."""
    return classes_among(spec, getattr(model, "classes_", ()), rows[spec.label])


def are_sound(predictions: Predictions, *, spec: Examples) -> bool:
    """Return whether all are finite numbers, and probabilities where they should be."""
    if spec.problem == "regression":
        return bool(np.isfinite(predictions).all())
    return bool(((predictions >= 0) & (predictions <= 1)).all())  # NaN compares false


def inputs_of(model: Pipeline, rows: pd.DataFrame, *, spec: Examples) -> pd.DataFrame:
    """
    Return the columns of *rows* that *model* was fitted on.

    An older version may know fewer inputs than the spec names by now; a model that looks at none
    remembers no names.

    :raises ArtifactError: If a column it needs is not prepared any more.
    """
    names = list(getattr(model, "feature_names_in_", spec.features))
    if lost := [name for name in names if name not in rows]:
        raise ArtifactError(
            f"The model was fitted on {', '.join(lost)}, which the examples have no more. It was "
            "not used. Keep the inputs in model.yaml until a version without them serves."
        )
    return rows if list(rows.columns) == names else rows[names]
