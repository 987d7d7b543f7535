"""What the workflows tell each other, as Airflow assets with real addresses."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk import Asset, AssetAlias

from evergreen.receipts.monitoring import RetrainRequest
from evergreen.spec import ModelSpec

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue


def retrain_request(spec: ModelSpec) -> Asset:
    """Return the asset whose events start a retrain, with the reason in their ``extra``."""
    return Asset(f"{spec.model}.retrain_request", uri=f"x-evergreen://{spec.model}/retrain_request")


def champion(spec: ModelSpec) -> Asset:
    """Return the asset that changes when another version starts to serve."""
    return Asset(f"{spec.model}.champion", uri=f"x-evergreen://{spec.model}/champion")


def champion_moves(spec: ModelSpec) -> AssetAlias:
    """Return the alias through which a deploy reports a move, and stays silent otherwise."""
    return AssetAlias(f"{spec.model}.champion_moves")


def announce_champion(context: Context, spec: ModelSpec, *, version: str, as_of: datetime) -> None:
    """Tell downstream DAGs that *version* serves now; the task needs :func:`champion_moves`."""
    extra: dict[str, JsonValue] = {"version": version, "as_of": as_of.isoformat()}
    context["outlet_events"][champion_moves(spec)].add(champion(spec), extra=extra)


def retrain_requests(spec: ModelSpec) -> AssetAlias:
    """Return the alias through which monitor requests a retrain, and stays silent otherwise."""
    return AssetAlias(f"{spec.model}.retrain_requests")


def request_retrain(context: Context, spec: ModelSpec, request: RetrainRequest) -> None:
    """Start a retrain that lives when *request* does; the task needs :func:`retrain_requests`."""
    extra: dict[str, JsonValue] = {"reason": request.reason, "as_of": request.as_of.isoformat()}
    context["outlet_events"][retrain_requests(spec)].add(retrain_request(spec), extra=extra)


def predictions(spec: ModelSpec) -> Asset:
    """Return the asset that changes when a partition is scored."""
    return Asset(f"{spec.model}.predictions", uri=f"x-evergreen://{spec.model}/predictions")
