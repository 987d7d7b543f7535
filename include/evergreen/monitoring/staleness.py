"""Say whether the champion, and what it learnt from, have grown too old."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.data.window import scoring_day, start_of, training_window
from evergreen.errors import NoChampionError
from evergreen.monitoring.verdict import Verdict
from evergreen.receipts.monitoring import Colour, StalenessReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import load_identity, spec_then
from evergreen.spec import ModelSpec
from evergreen.spec.metrics import Metric
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

#: How old both may grow while no backtest and no spec says otherwise.
DEFAULT_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class Age:
    """How old something is, and how old it may be, in days."""

    days: float
    limit: float


def measure_staleness(workspace: Workspace, *, as_of: datetime) -> StalenessReceipt:
    """
    Hold the champion's age, and that of its data, against the limits.

    Amber: too old, though nightly challengers keep losing to it. Red: too old, and nothing has
    challenged it for as long; that requests a retrain. It only reads.

    :raises NoChampionError: If there was none at *as_of*.
    """
    spec = workspace.spec
    champion_entry = ledger_store.read_ledger(workspace.store, spec.model).champion_at(as_of)
    if champion_entry is None:
        raise NoChampionError(f"{spec.model} had no champion at {as_of:%Y-%m-%d %H:%M} UTC.")
    version = workspace.client.get_model_version(spec.model, champion_entry.version)
    made = load_identity(workspace.store, version)
    learnt_until = start_of(training_window(made.as_of, spec_then(made).window).train.end)
    derived, source = _allowed_age(workspace.store, spec)
    champion = Age(
        days=(as_of - champion_entry.serves_from) / timedelta(days=1),
        limit=float(spec.staleness.champion_days or derived),
    )
    # A champion is as old as its data on the night it is made, plus its test days.
    inborn = (made.as_of - learnt_until) / timedelta(days=1)
    data = Age(
        days=(as_of - learnt_until) / timedelta(days=1),
        limit=float(spec.staleness.data_days or derived + inborn),
    )
    challenged_days = _challenged(workspace.client, spec, as_of=as_of)
    verdict = _verdict(champion, data, challenged_days=challenged_days, source=source)
    return StalenessReceipt(
        model=spec.model,
        as_of=as_of,
        day=scoring_day(as_of),
        colour=verdict.colour,
        reasons=verdict.reasons,
        requests_retrain=verdict.requests_retrain,
        version=champion_entry.version,
        champion_days=champion.days,
        champion_limit=champion.limit,
        data_days=data.days,
        data_limit=data.limit,
        challenged_days=challenged_days,
        limit_from=source,
    )


def _verdict(champion: Age, data: Age, *, challenged_days: float, source: str) -> Verdict:
    old = [
        f"staleness: the {what} is {age.days:.0f} days old, {age.limit:.0f} are allowed ({source})"
        for what, age in (("champion", champion), ("newest data it learnt from", data))
        if age.days > age.limit
    ]
    is_left_alone = bool(old) and challenged_days > champion.limit
    if is_left_alone:
        old.append(f"staleness: nothing has challenged it for {challenged_days:.0f} days")
    colour: Colour = "red" if is_left_alone else "amber" if old else "green"
    return Verdict(colour=colour, reasons=tuple(old), requests_retrain=is_left_alone)


def allowed_days(table: pd.DataFrame, *, metric: Metric, max_loss: float) -> int:
    """
    Return the age in days at which a frozen model has fallen behind by *max_loss*.

    The gap between the champion that evolves and the one frozen on day one, made to grow only
    (isotonic regression, weighted by rows), read where it first reaches *max_loss*. A model that
    never falls so far behind may grow as old as the table says anything of.

    :param table: A backtest's: ``day``, ``rows``, ``evolving`` and ``frozen``, a row per day.
    """
    import pandas as pd
    from sklearn.isotonic import IsotonicRegression

    from evergreen.modeling.metrics import gain

    days = pd.to_datetime(table["day"])
    ages = (days - days.min()).dt.days + 1
    both = zip(table["evolving"], table["frozen"], strict=True)
    gaps = [gain(metric, evolving, frozen) for evolving, frozen in both]
    curve = IsotonicRegression().fit(ages, gaps, sample_weight=table["rows"]).predict(ages)
    behind = ages[curve >= max_loss]
    return int(behind.min() if len(behind) else ages.max())


def _allowed_age(store: ObjectStore, spec: ModelSpec) -> tuple[int, str]:
    """Return the age the longest backtest allows, and where it is from."""
    keys = [k for k in store.list(layout.all_of("backtests", spec.model)) if k.endswith(".csv")]
    if not keys:
        return DEFAULT_DAYS, "no backtest yet"
    import pandas as pd  # heavy, and only needed where there is a backtest

    tables = {key: pd.read_csv(io.BytesIO(store.get(key))) for key in keys}
    longest = max(keys, key=lambda key: (len(tables[key]), key))
    days = allowed_days(tables[longest], metric=spec.metric, max_loss=spec.staleness.max_loss)
    return days, f"backtest {longest.split('/')[2]}"


def _challenged(client: MlflowClient, spec: ModelSpec, *, as_of: datetime) -> float:
    """Return how many days before *as_of* the newest night made a version."""
    nights = map(mlflow_registry.as_of_of, mlflow_registry.all_versions(client, spec.model))
    newest = max(night for night in nights if night <= as_of)
    return (as_of - newest) / timedelta(days=1)
