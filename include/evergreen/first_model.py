"""
Let MLflow ask at import which package each module is of, for the parent of all tasks.

MLflow reads the metadata of all that is installed when a process saves its first model, and keeps
what it found; a process that is forked from this one has it. Nothing but such a parent imports it.
"""

from __future__ import annotations

from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

warn_dependency_requirement_mismatches(["mlflow"])
