"""The page a person opens: which models are here, who answers, who is on its way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evergreen.reporting.templates import page_template
from evergreen.values import Frozen

if TYPE_CHECKING:
    from evergreen.serving.follower import Follower
    from evergreen.serving.server import ModelServer


class ServedModelRow(Frozen):
    """One model of the server, and a request that it can answer."""

    model: str
    description: str
    champion: str | None
    challenger: str | None
    stage: str | None
    saw: str | None
    problem: str | None
    example: str | None


def render_index(server: ModelServer) -> str:
    """Return the page, self-contained and without script."""
    # Of copies: this runs in a thread, while a model may be added or removed.
    followers = dict(server.followers)
    rows = [_row(model, followers[model]) for model in sorted(followers)]
    return page_template("server.html.j2").render(
        replica=server.settings.replica,
        is_ready=server.is_ready,
        models=rows,
        removed=sorted(dict(server.models.removed).items()),
    )


def _row(model: str, follower: Follower) -> ServedModelRow:
    traffic, spec = follower.endpoint.traffic, follower.spec
    seen = traffic.seen.challenger if traffic and traffic.seen else None
    return ServedModelRow(
        model=model,
        description=spec.description,
        champion=traffic.champion.version if traffic else None,
        challenger=traffic.challenger.version if traffic and traffic.challenger else None,
        stage=str(traffic.stage) if traffic and traffic.stage else None,
        saw=f"{seen.requests} requests, {seen.failed} failed" if seen else None,
        problem=follower.problem,
        example=None
        if traffic is None
        else json.dumps({"dataframe_records": [dict.fromkeys(traffic.champion.inputs)]}),
    )
