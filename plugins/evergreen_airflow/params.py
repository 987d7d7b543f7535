"""The params of the DAGs, as the form of a run shows them."""

from __future__ import annotations

from airflow.sdk import Param

from evergreen.spec import ModelSpec

AS_OF = Param(
    None,
    type=["null", "string"],
    format="date-time",
    title="As of",
    description="Pretend to live at this instant (UTC): nothing later is read or known. "
    "Empty: the end of the run's data interval, or the last midnight before the run was triggered.",
)
REASON = Param(
    "triggered by hand",
    type="string",
    maxLength=500,
    title="Reason",
    description="Why this run is made; shown in its first task and kept with what it makes.",
)
SERVES_FROM = Param(
    None,
    type=["null", "string"],
    format="date-time",
    title="Serves from",
    description="From when the older version serves, in the runs' time (UTC). Empty: now. In a "
    "replay of the past, the instant of the replay.",
)
DRY_RUN = Param(
    False,
    type="boolean",
    title="Dry run",
    description="Train, evaluate and report, but leave the champion as it is.",
)


def candidates_param(spec: ModelSpec) -> Param:
    """Return the choice of candidates for a run's form; the baseline is always fitted."""
    names = list(spec.candidates)
    return Param(
        names,
        type="array",
        items={"enum": names},
        examples=names,
        minItems=1,
        title="Candidates",
        description="Fit only these; the baseline is always fitted beside them.",
    )


def version_param(description: str) -> Param:
    """Return the choice of a version of the model; empty leaves it to the task."""
    return Param(
        None, type=["null", "integer"], minimum=1, title="Version", description=description
    )


def reason_param(*, kept_in: str) -> Param:
    """Return the reason of a change that a person starts."""
    return Param(
        "",
        type="string",
        minLength=0,
        maxLength=500,
        title="Reason",
        description=f"Why, in a few words; kept in {kept_in} for good.",
    )


def checked_first_param(description: str) -> Param:
    """Return the switch between a check and a change; a check unless the person says otherwise."""
    return Param(True, type="boolean", title="Dry run", description=description)


def force_param(description: str) -> Param:
    """Return the switch that lets a change through which is refused otherwise."""
    return Param(False, type="boolean", title="Force", description=description)
