"""
Do at import what libraries put off until the first use, for the parent of all tasks.

MLflow reads the metadata of all that is installed when a process saves its first model. Evidently
and plotly import and build much of themselves with the first report of a process, two hundred
modules among it. A process that is forked from this one need not do it again. Nothing but such a
parent imports this module.
"""

from __future__ import annotations

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

warn_dependency_requirement_mismatches(["mlflow"])

_rows = Dataset.from_pandas(
    pd.DataFrame({"number": [0.0, 1.0], "name": ["a", "b"]}),
    data_definition=DataDefinition(numerical_columns=["number"], categorical_columns=["name"]),
)
Report([DataDriftPreset()]).run(_rows, _rows).get_html_str(as_iframe=False)
