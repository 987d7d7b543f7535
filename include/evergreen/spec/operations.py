"""What a spec says about scoring, alerts and retention."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from evergreen.spec.checks import ConnectionId
from evergreen.spec.data import PositiveDayCount
from evergreen.values import Frozen


class SqlSink(Frozen):
    """A table that gets each day's predictions too, through an Airflow connection."""

    connection: ConnectionId
    table: str = Field(pattern=r"^([A-Za-z_]\w*\.)?[A-Za-z_]\w*$")


class Scoring(Frozen):
    """
    Where predictions go beside the object store.

    ``on_red``: whether a new day is scored while the newest day of monitor is red.
    """

    sql: SqlSink | None = None
    on_red: Literal["hold", "warn"] = "warn"


class Alerts(Frozen):
    """
    Where alerts go, by Airflow connection of type apprise. The task log always gets them.

    A run that has not ended ``late_after_hours`` after it was queued is alerted. The time that the
    spec gives people and stages to answer is not counted against it.
    """

    connections: Annotated[tuple[ConnectionId, ...], Field(max_length=100)] = ()
    late_after_hours: float = Field(default=4, gt=0, le=240)


class Retention(Frozen):
    """
    How long history is kept after it was made. Never applies to what the ledger or an alias names.

    Without ``delete`` the housekeeping DAG lists what is too old and removes nothing.
    """

    delete: bool = False
    versions: int = Field(default=60, ge=5)
    reports_days: PositiveDayCount = 365
    predictions_days: PositiveDayCount = 365
