"""The candidates. The baseline is added by Evergreen."""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from evergreen.spec.data import Examples

#: Destinations with fewer flights than this in the training days share one column.
RARE = 20


def linear(examples: Examples, *, seed: int) -> Pipeline:
    """Logistic regression: hour and weekday as categories, weather as numbers."""
    clock = ["hour", "weekday"]
    numbers = [name for name in examples.numeric if name not in clock]
    scale = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE)
    columns = ColumnTransformer(
        [("numbers", scale, numbers), ("names", one_hot, [*clock, *examples.categorical])]
    )
    return Pipeline(
        [("columns", columns), ("model", LogisticRegression(max_iter=500, random_state=seed))]
    )


def boosting(examples: Examples, *, seed: int) -> Pipeline:
    """Histogram boosting with small trees; missing weather needs no filling in."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    columns = ColumnTransformer(
        [("names", codes, list(examples.categorical))], remainder="passthrough"
    )
    model = HistGradientBoostingClassifier(
        max_iter=150, max_leaf_nodes=15, l2_regularization=1.0, random_state=seed
    )
    return Pipeline([("columns", columns), ("model", model)])


def blend(examples: Examples, *, seed: int) -> Pipeline:
    """Mean of both probabilities: boosting finds shapes, the line holds when the weather turns."""
    tuned = {"model__learning_rate": 0.05, "model__min_samples_leaf": 200, "model__max_iter": 100}
    both = [
        ("linear", linear(examples, seed=seed)),
        ("boosting", boosting(examples, seed=seed).set_params(**tuned)),
    ]
    return Pipeline([("model", VotingClassifier(both, voting="soft"))])
