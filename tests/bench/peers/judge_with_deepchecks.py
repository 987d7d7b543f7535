"""deepchecks' FeatureDrift as it comes: a drift score of 0.2 is the limit of its condition."""

from __future__ import annotations

import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.checks import FeatureDrift
from plan_io import main

LIMIT = 0.2


def judge(then: pd.DataFrame, now: pd.DataFrame) -> set[str]:
    """Return the columns whose drift score is not below the default of the condition."""
    texts = [c for c in now if not pd.api.types.is_numeric_dtype(now[c])]
    check = FeatureDrift().add_condition_drift_score_less_than()
    result = check.run(
        *(Dataset(side, cat_features=texts) for side in (then, now)), with_display=False
    )
    scores = {name: of["Drift score"] for name, of in result.value.items()}
    found = {name for name, score in scores.items() if score is not None and score >= LIMIT}
    (condition,) = result.conditions_results
    if condition.is_pass() == bool(found):
        raise ValueError(f"the condition is {condition.category}, this script found {found}")
    return found


if __name__ == "__main__":
    main(judge)
