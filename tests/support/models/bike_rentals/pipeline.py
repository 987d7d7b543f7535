"""The candidate. The baseline is added by Evergreen."""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from evergreen.spec.data import Examples


def boosting(examples: Examples, *, seed: int) -> Pipeline:
    """Histogram boosting; names are numbered."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("names", codes, list(examples.categorical))], remainder="passthrough"
    )
    model = HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=20, random_state=seed)
    return Pipeline([("columns", columns), ("model", model)])
