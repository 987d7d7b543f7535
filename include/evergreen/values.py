"""The one base class of everything that is described once and then only read."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: no unknown keys, no changes after it is built, no NaN that JSON cannot carry."""

    #: The format a stored document of this class is written in. A renamed field needs a new one.
    FORMAT: ClassVar[int] = 2

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )
