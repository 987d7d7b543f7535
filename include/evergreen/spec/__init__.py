"""
What one model is, read from ``include/models/<name>/model.yaml``.

DAG files import this package while they are parsed, so it may depend on pydantic and PyYAML only.
"""

from __future__ import annotations

from evergreen.spec.loading import MODELS_DIR, find_specs, load_spec
from evergreen.spec.model import ModelSpec

__all__ = ["MODELS_DIR", "ModelSpec", "find_specs", "load_spec"]
