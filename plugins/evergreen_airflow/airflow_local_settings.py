"""Tells Airflow about Evergreen's cluster policy; it looks for this module in its home."""

from evergreen_airflow.policy import task_instance_mutation_hook

__all__ = ["task_instance_mutation_hook"]
