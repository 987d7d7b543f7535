"""
Make a report of two rows at import, for the parent of all tasks.

Evidently and plotly import and build much of themselves with the first report of a process, two
hundred modules among it; a process that is forked from this one need not. Nothing but such a parent
imports it.
"""

from __future__ import annotations

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

_rows = Dataset.from_pandas(
    pd.DataFrame({"number": [0.0, 1.0], "name": ["a", "b"]}),
    data_definition=DataDefinition(numerical_columns=["number"], categorical_columns=["name"]),
)
Report([DataDriftPreset()]).run(_rows, _rows).get_html_str(as_iframe=False)
