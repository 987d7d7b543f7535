"""NannyML's univariate drift as it comes: Jensen-Shannon, mean + 3 sd of the reference's days."""

from __future__ import annotations

import pandas as pd
from nannyml import UnivariateDriftCalculator
from plan_io import main


def judge(then: pd.DataFrame, now: pd.DataFrame) -> set[str]:
    """Return the columns that are an alert on the day, of chunks of one day each."""
    columns = [c for c in now if c != "day"]
    sides = [side.assign(day=pd.to_datetime(side["day"])) for side in (then, now)]
    drift = UnivariateDriftCalculator(
        column_names=columns, timestamp_column_name="day", chunk_period="D"
    )
    drift.fit(sides[0])
    found = drift.calculate(sides[1]).filter(period="analysis").to_df()
    return {c for c in columns if bool(found[(c, "jensen_shannon", "alert")].iloc[-1])}


if __name__ == "__main__":
    main(judge, keep_day=True)
