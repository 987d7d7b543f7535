"""The one base class of everything that is described once and then only read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: no unknown keys, no changes after it is built, no NaN that JSON cannot carry."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )
