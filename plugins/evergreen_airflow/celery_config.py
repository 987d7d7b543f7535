"""
Celery's configuration for warm workers: Airflow's own, and what a worker imports before it forks.

Airflow finds it by ``[celery] celery_config_options``. The scheduler reads the same file to
send tasks and imports nothing of it: Celery imports ``include`` when a worker starts, once, in the
parent of its processes.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

from evergreen_airflow.warm_workers import MODULES, ON, VARIABLE

CELERY_CONFIG: dict[str, Any] = {
    **DEFAULT_CELERY_CONFIG,
    "include": MODULES if os.environ.get(VARIABLE, ON) == ON else (),
}
