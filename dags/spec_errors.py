"""
Show every model spec that cannot be used, and every DAG that cannot be built, as one import error,
while the DAGs of all other models keep running. This file makes no DAG of its own in Airflow.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import get_parsing_context

from evergreen.errors import SpecError
from evergreen.spec import find_specs
from evergreen_airflow.building import failed_builds, listed

if get_parsing_context().dag_id is None:
    errors = [*find_specs()[1], *failed_builds(Path(__file__).parent)]
    if errors:
        raise SpecError(listed(errors))
