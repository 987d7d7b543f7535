"""The one base class of everything that is described once and then only read."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: no unknown keys, no changes after it is built, no NaN that JSON cannot carry."""

    #: The format a stored document of this class is written in. A renamed field needs a new one.
    FORMAT: ClassVar[int] = 2
    #: What to do about a stored document of this class that another release wrote.
    OUTDATED: ClassVar[str] = (
        "Run the release that wrote it, or delete all records of another format with 'python -m "
        "evergreen discard-records {uri}' and trigger the DAG that writes them: retrain for a "
        "model that has no champion then."
    )
    #: What to do about a stored document of this class that is damaged.
    REMEDY: ClassVar[str] = (
        "Restore it from a backup, or delete it and clear the task that writes it."
    )

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )
