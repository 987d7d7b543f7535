"""The server's pages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from evergreen.serving.endpoint import Endpoint, NotServingError, PredictionResult
from evergreen.serving.error_responses import FAULTS, add_error_responses
from evergreen.serving.index_page import render_index
from evergreen.serving.inputs import InputError, check
from evergreen.serving.middleware import Guard, describe_security
from evergreen.serving.protocol import (
    InferRequest,
    InvocationsRequest,
    infer_answer,
    invocations_answer,
)
from evergreen.serving.served_version import OverloadedError
from evergreen.serving.server import ModelServer


def make_app(server: ModelServer) -> FastAPI:
    """Return the application that answers for *server*."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await server.start()
        yield
        await server.stop()

    app = FastAPI(
        title="Evergreen model server",
        version="2",
        lifespan=lifespan,
        responses=FAULTS,
        # Both load scripts from another host, into a page that knows the token.
        docs_url=None,
        redoc_url=None,
    )
    app.state.server = server
    app.openapi = lambda: _openapi(app, server)  # type: ignore[method-assign]
    add_error_responses(app)
    _add_health(app, server)
    _add_state(app, server)
    _add_questions(app, server)
    app.add_middleware(
        Guard,
        tokens=server.settings.tokens if server.settings.auth else (),
        max_bytes=int(server.settings.max_body_mb * 2**20),
        part_s=server.settings.body_part_s,
        body_s=server.settings.body_s,
    )
    return app


def _openapi(app: FastAPI, server: ModelServer) -> dict[str, Any]:
    """Return the page with the models that are here now, and a question each of them can answer."""
    page = get_openapi(title=app.title, version=app.version, routes=app.routes)
    if server.settings.auth:
        describe_security(page)
    models = sorted(server.followers)
    for methods in page["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "model" and models:
                    parameter["schema"]["enum"] = models
    known = next((f.endpoint for f in server.followers.values() if f.endpoint.traffic), None)
    if known is not None:
        names = known.champion.inputs
        tensors = [{"name": n, "shape": [1], "datatype": "FP64", "data": [None]} for n in names]
        schemas = page["components"]["schemas"]
        schemas["InferRequest"]["example"] = {"inputs": tensors}
        schemas["InvocationsRequest"]["example"] = {
            "dataframe_split": {"columns": list(names), "data": [[None] * len(names)]}
        }
    return page


def _add_health(app: FastAPI, server: ModelServer) -> None:
    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        """Say that the process runs."""
        return {"live": True}

    @app.get("/v2/health/ready")
    @app.get("/ping")  # what SageMaker asks
    async def ready() -> JSONResponse:
        """Say whether requests can be answered."""
        return JSONResponse({"ready": server.is_ready}, 200 if server.is_ready else 503)


def _add_state(app: FastAPI, server: ModelServer) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def home() -> HTMLResponse:
        """Show a person what is here."""
        return HTMLResponse(render_index(server))

    @app.get("/v2")
    async def about() -> dict[str, Any]:
        """Name the server and its models."""
        return {
            "name": "evergreen",
            "version": "2",
            "extensions": [],
            "replica": server.settings.replica,
            "models": sorted(server.followers),
        }

    @app.get("/v2/models/{model}")
    async def describe(model: str) -> dict[str, Any]:
        """Describe inputs and outputs, who answers, and who is on its way to the callers."""
        return _describe(server, model)

    @app.get("/v2/models/{model}/ready")
    async def model_ready(model: str) -> dict[str, Any]:
        """Say which version answers."""
        return {"name": model, "ready": True, "version": _endpoint(server, model).champion.version}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        """Give the numbers Prometheus collects."""
        return PlainTextResponse(
            generate_latest(server.metrics.registry), media_type=CONTENT_TYPE_LATEST
        )


def _add_questions(app: FastAPI, server: ModelServer) -> None:
    @app.post("/v2/models/{model}/infer")
    async def infer(model: str, body: InferRequest) -> JSONResponse:
        """Predict rows given by column (Open Inference Protocol)."""
        answer = await _answer(server, model, body)
        return JSONResponse(infer_answer(body, model, answer))

    @app.post("/models/{model}/invocations")
    async def invocations_of(model: str, body: InvocationsRequest) -> JSONResponse:
        """Predict rows given as MLflow's server takes them."""
        return JSONResponse(invocations_answer(model, await _answer(server, model, body)))

    @app.post("/invocations")
    async def invocations(body: InvocationsRequest) -> JSONResponse:
        """Predict rows as above, on a server that serves one model."""
        served = sorted(server.followers)
        if len(served) != 1:
            raise HTTPException(
                404,
                f"{len(served)} models are here ({', '.join(served[:20])}); "
                "ask /models/<model>/invocations",
            )
        return JSONResponse(invocations_answer(served[0], await _answer(server, served[0], body)))


def _endpoint(server: ModelServer, model: str) -> Endpoint:
    if model in server.models.removed:
        since = server.models.removed[model]
        raise HTTPException(
            404,
            f"model {model!r} was removed at {since:%Y-%m-%d %H:%M} UTC: its folder is gone, or "
            "its spec is not for this server",
        )
    if model not in server.followers:
        known = ", ".join(sorted(server.followers)) or "none"
        raise HTTPException(404, f"no model {model[:100]!r} here; there are: {known}")
    return server.followers[model].endpoint


async def _answer(
    server: ModelServer, model: str, body: InferRequest | InvocationsRequest
) -> PredictionResult:
    """Check, predict, count and log one request; the log is written later."""
    endpoint, started = _endpoint(server, model), time.perf_counter()
    status, answer = 500, None
    try:
        rows = check(
            body.columns(),
            spec=endpoint.spec.examples,
            needed=endpoint.champion.inputs,
            max_rows=server.settings.max_rows,
            booleans=body.booleans,
        )
        answer = await endpoint.answer(rows)
        status = 200
        server.log.add_rows(endpoint.spec, rows, answer.versions)
        return answer
    except InputError:
        status = 422
        raise
    except (NotServingError, OverloadedError):
        status = 503
        raise
    finally:
        seconds = time.perf_counter() - started
        versions = answer.versions if answer else []
        server.log.add(model, duration_ms=1000 * seconds, status=status, versions=versions)
        server.metrics.count(model, status=status, seconds=seconds, versions=Counter(versions))


def _describe(server: ModelServer, model: str) -> dict[str, Any]:
    endpoint = _endpoint(server, model)
    champion, traffic, examples = endpoint.champion, endpoint.traffic, endpoint.spec.examples
    challenger = traffic.challenger if traffic else None
    return {
        "name": model,
        "versions": [champion.version, *([challenger.version] if challenger else [])],
        "platform": "scikit-learn",
        "inputs": [
            {
                "name": name,
                "shape": [-1],
                "datatype": "FP64" if name in examples.numeric else "BYTES",
            }
            for name in champion.inputs
        ],
        "outputs": [
            {
                "name": "score",
                "datatype": "FP64",
                "shape": [-1, len(champion.classes)] if examples.problem == "multiclass" else [-1],
            }
        ],
        "parameters": {
            "champion": champion.version,
            "challenger": challenger.version if challenger else None,
            "stage": str(traffic.stage) if traffic and traffic.stage else None,
            "entity_key": list(examples.entity_key),
            "event_time": examples.event_time,
            "problem": server.followers[model].problem,
        },
    }
