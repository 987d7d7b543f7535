"""
alibi-detect's TabularDrift as it comes: Kolmogorov-Smirnov and chi-squared, 0.05 by Bonferroni.

It takes numbers without gaps: texts become codes (a missing one is a category of its own), and a
missing number becomes the median of the reference, 0 if that has none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift
from plan_io import main


def judge(then: pd.DataFrame, now: pd.DataFrame) -> set[str]:
    """Return the columns whose p-value is below 0.05 over the number of columns."""
    both = pd.concat([then, now], ignore_index=True)
    numbers, categories = pd.DataFrame(index=both.index), {}
    for place, name in enumerate(both.columns):
        if pd.api.types.is_numeric_dtype(both[name]):
            usual = then[name].median()
            numbers[name] = both[name].fillna(0.0 if pd.isna(usual) else usual)
        else:
            codes, values = pd.factorize(both[name].astype(object), use_na_sentinel=False)
            numbers[name], categories[place] = codes, list(range(len(values)))
    values = numbers.to_numpy(dtype=np.float32)
    drift = TabularDrift(values[: len(then)], p_val=0.05, categories_per_feature=categories or None)
    found = drift.predict(values[len(then) :], drift_type="batch")["data"]
    is_beyond = np.asarray(found["p_val"]) < found["threshold"]
    return {name for name, beyond in zip(both.columns, is_beyond, strict=True) if beyond}


if __name__ == "__main__":
    main(judge)
