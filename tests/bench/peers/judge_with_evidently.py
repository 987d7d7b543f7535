"""Evidently's DataDriftPreset as it comes: its own choice of a method and threshold per column."""

from __future__ import annotations

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
from plan_io import main


def judge(then: pd.DataFrame, now: pd.DataFrame) -> set[str]:
    """Return the columns that Evidently's preset counts as drifted."""
    metrics = Report([DataDriftPreset()]).run(now, then).dict()["metrics"]
    found = set()
    for metric in metrics:
        how = metric["config"]
        if "column" not in how:
            continue
        value, threshold = float(metric["value"]), how["threshold"]
        is_chance = how["method"].endswith("p_value")
        if value < threshold if is_chance else value >= threshold:
            found.add(how["column"])
    (counted,) = (m["value"]["count"] for m in metrics if "column" not in m["config"])
    if counted != len(found):
        raise ValueError(f"Evidently counts {counted} drifted columns, this script {len(found)}")
    return found


if __name__ == "__main__":
    main(judge)
