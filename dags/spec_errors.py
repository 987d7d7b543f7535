"""
Show every model spec that cannot be used, as one import error, while the DAGs of all other models
go on. This file makes no DAG of its own in Airflow.
"""

from __future__ import annotations

from airflow.sdk import get_parsing_context

from evergreen.errors import SpecError
from evergreen.spec import find_specs

if get_parsing_context().dag_id is None:
    _, errors = find_specs()
    if errors:
        raise SpecError("\n\n".join(str(error) for error in errors))
