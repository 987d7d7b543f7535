"""Find types that may not be stored before hours are spent on fitting them."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from evergreen.modeling.artifacts import require_reviewed_types
from evergreen.spec import ModelSpec

log = logging.getLogger(__name__)

#: Rows of the small fit; enough to make each kind of part of a pipeline.
ROWS = 200


def check_types_early(pipeline: Pipeline, *, rows: pd.DataFrame, spec: ModelSpec) -> None:
    """
    Fit a clone of *pipeline* on a few rows and look at the types that it then holds.

    A fit that fails on so few rows decides nothing: the whole fit decides.

    :param rows: Labelled examples of the training days.
    :raises ArtifactError: If the fitted clone holds a type that was not reviewed.
    """
    few, label = _few(rows, spec), spec.examples.label
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of so few rows, nothing that it says is of use
            fitted: Any = clone(pipeline).fit(few[list(spec.examples.features)], few[label])
    except Exception as error:  # noqa: BLE001 - whatever the model's own code raises
        log.info("types are checked after the fit: %d rows are too few for it: %s", len(few), error)
        return
    require_reviewed_types(fitted, spec=spec)


def _few(rows: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """Return at most ROWS rows over all days, with as many of each class as there are."""
    if spec.examples.problem == "regression":
        return rows.iloc[:: max(1, -(-len(rows) // ROWS))]
    groups = [group for _, group in rows.groupby(spec.examples.label, sort=True)]
    each = max(1, ROWS // max(1, len(groups)))
    picked = [group.iloc[:: max(1, -(-len(group) // each))] for group in groups[:ROWS]]
    return pd.concat(picked).sort_index()
