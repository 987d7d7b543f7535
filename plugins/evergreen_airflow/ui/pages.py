"""The pages as HTML: escaped by default, readable without script, light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.data.validation import quarantine_reasons
from evergreen.receipts.monitoring import SEVERITY_ORDER, Colour
from evergreen.reporting.templates import page_template
from evergreen.values import Frozen
from evergreen_airflow.ui.watching import not_watched

if TYPE_CHECKING:
    from evergreen.monitoring.history import DayOfHealth, ModelHistory, VersionCard
    from evergreen.receipts.data import DayVerdict, ValidationReceipt
    from evergreen.spec import ModelSpec
    from evergreen_airflow.ui.airflow_state import DagState, OpenApproval, Runs

#: Days of the small lines in the list of models.
SPARK_DAYS = 60
#: Days of the table below the charts, which says the same in words.
TABLE_DAYS = 30


class ModelOverviewRow(Frozen):
    """One line of the list of models."""

    model: str
    description: str
    owner: str
    colour: Colour
    reason: str
    day: date | None = None
    champion: str | None = None
    champion_days: float | None = None
    data_days: float | None = None
    last_run: str | None
    last_state: str | None
    verdict: str | None
    next_run: datetime | None
    is_paused: bool
    metric: str | None = None
    quality: float | None = None
    quality_line: str = ""
    drift_line: str = ""
    p95_ms: float | None = None
    p95_line: str = ""
    others: tuple[tuple[str, str, str], ...] = ()
    has_alerts: bool = True


def row(
    history: ModelHistory, runs: Runs, states: Mapping[str, DagState], *, now: datetime
) -> ModelOverviewRow:
    """
    Return what the list says of one model.

    :param states: The state of its other DAGs by workflow, monitor among them.
    """
    unwatched = not_watched(history, states["monitor"], now=now)
    newest, champion = history.newest, history.ledger.champion
    real = [value for value, _ in history.quality.values() if value is not None]
    return ModelOverviewRow(
        model=history.spec.model,
        description=history.spec.description,
        owner=history.spec.owner,
        colour=newest.colour if newest and unwatched is None else "unknown",
        reason=unwatched or _why(newest, has_champion=champion is not None),
        day=newest.day if newest else None,
        champion=champion.version if champion else None,
        champion_days=newest.champion_days if newest else None,
        data_days=newest.data_days if newest else None,
        last_run=runs.last_run_id,
        last_state=runs.last_state,
        verdict=runs.verdict,
        next_run=runs.next_run,
        is_paused=runs.is_paused,
        metric=newest.metric if newest else None,
        quality=real[-1] if real else None,
        quality_line=_line(real[-SPARK_DAYS:]),
        drift_line=_line([d.drift for d in history.days[-SPARK_DAYS:] if d.drift is not None]),
        p95_ms=newest.p95_ms if newest else None,
        p95_line=_line([d.p95_ms for d in history.days[-SPARK_DAYS:] if d.p95_ms is not None]),
        others=tuple(
            (workflow, one.last_run_id, one.last_state)
            for workflow, one in states.items()
            if one.last_run_id is not None and one.last_state is not None
        ),
        has_alerts=bool(history.spec.alerts.connections),
    )


def unreadable_row(spec: ModelSpec, runs: Runs, reason: str) -> ModelOverviewRow:
    """Return the row of a model whose history cannot be read: its runs, and the reason."""
    return ModelOverviewRow(
        model=spec.model,
        description=spec.description,
        owner=spec.owner,
        colour="unknown",
        reason=reason,
        last_run=runs.last_run_id,
        last_state=runs.last_state,
        verdict=runs.verdict,
        next_run=runs.next_run,
        is_paused=runs.is_paused,
    )


def models(
    rows: list[ModelOverviewRow],
    *,
    waiting: list[OpenApproval],
    problems: list[str],
    removed: list[str],
    now: datetime,
) -> str:
    """Return the list of models, the worst state first, with open approvals on top."""
    ordered = sorted(rows, key=lambda one: (SEVERITY_ORDER.index(one.colour), one.model))
    return _render(
        "models.html.j2",
        rows=ordered,
        waiting=waiting,
        problems=problems,
        removed=removed,
        now=now,
    )


def model(history: ModelHistory, versions: list[VersionCard], runs: Runs, *, now: datetime) -> str:
    """Return one model over time."""
    quality = history.quality
    return _render(
        "model.html.j2",
        spec=history.spec,
        history=history,
        runs=runs,
        versions=versions,
        recent=list(reversed(history.days[-TABLE_DAYS:])),
        quality=quality,
        champion=history.ledger.champion,
        ledger=list(reversed(history.ledger.entries)),
        charts=_charts(history, quality),
        now=now,
    )


def contract(receipt: ValidationReceipt, verdicts: list[DayVerdict]) -> str:
    """Return what ``validate_data`` found, newest partition first."""
    return _render(
        "contract.html.j2",
        receipt=receipt,
        reasons=quarantine_reasons(verdicts),
        verdicts=sorted(verdicts, key=lambda one: (one.day, one.table), reverse=True),
    )


def nothing(message: str) -> str:
    """Return a page that says why there is nothing to see."""
    return _render("nothing.html.j2", message=message)


def _charts(
    history: ModelHistory, quality: dict[date, tuple[float | None, float | None]]
) -> dict[str, Any]:
    """Return what the script draws: series by day, and promotions on the same axis."""
    drift = [
        (d.day.isoformat(), d.drift, d.drift_column) for d in history.days if d.drift is not None
    ]
    return {
        "metric": history.spec.metric,
        "quality": {
            "days": [day.isoformat() for day in quality],
            "real": [real for real, _ in quality.values()],
            "estimated": [estimated for _, estimated in quality.values()],
        },
        "drift": {
            "days": [day for day, _, _ in drift],
            "share": [share for _, share, _ in drift],
            "column": [column for _, _, column in drift],
        },
        "promotions": [
            {
                "day": entry.serves_from.date().isoformat(),
                "version": entry.version,
                "action": entry.action,
            }
            for entry in history.ledger.outcomes
        ],
    }


def _why(newest: DayOfHealth | None, *, has_champion: bool) -> str:
    if newest is not None:
        return "; ".join(newest.reasons) or "within its limits"
    if has_champion:
        return "not monitored yet; the monitor DAG makes the first page after a day is scored"
    return "no champion yet; the retrain DAG makes the first one"


def _line(values: list[float]) -> str:
    """Return the points of a small line, 100 wide and 24 high; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    height = (high - low) or 1.0
    step = 100 / (len(values) - 1)
    return " ".join(
        f"{n * step:.1f},{22 - 20 * (v - low) / height:.1f}" for n, v in enumerate(values)
    )


def _render(name: str, **content: Any) -> str:
    return page_template(name, folder=Path(__file__).parent).render(**content)
