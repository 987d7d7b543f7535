"""The candidate. The baseline is added by Evergreen."""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from evergreen.spec.data import Examples


def trees(examples: Examples, *, seed: int) -> Pipeline:
    """Histogram boosting on the distance, the hour and who flies from where."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("names", codes, list(examples.categorical))], remainder="passthrough"
    )
    model = HistGradientBoostingRegressor(max_iter=80, min_samples_leaf=30, random_state=seed)
    return Pipeline([("columns", columns), ("model", model)])
