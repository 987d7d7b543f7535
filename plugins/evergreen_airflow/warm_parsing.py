"""
Import once, in the DAG processor itself, what every DAG file of ours imports.

Each file is parsed in a fork of it, all of them every minute; a fork that first has to import
Evergreen's operators takes four times the CPU. Airflow does this for modules of its own alone
(``[dag_processor] parsing_pre_import_modules``), so it is a listener that hears the start.

Operators, sensors and triggers are light, as whatever parses DAGs needs them: no pandas, no MLflow.
``models.*`` and the files in ``dags/`` are read by each fork anew.
"""

from __future__ import annotations

import importlib
import sys

from airflow.listeners import hookimpl


@hookimpl
def on_starting(component: object) -> None:
    """Import them if this is the DAG processor; Airflow's job does not know yet which it is."""
    if sys.argv[1:2] != ["dag-processor"]:
        return
    # Here, for every task loads this module with our plugin and needs none of it.
    from evergreen_airflow import build_results, operators, sensors, triggers
    from evergreen_airflow.warm_workers import modules_in

    packages = (operators, sensors, triggers)
    of_stages = (name for package in packages for name in modules_in(package))
    for name in ("evergreen_airflow.building", "evergreen_airflow.defaults", *of_stages):
        importlib.import_module(name)
    build_results.share()
