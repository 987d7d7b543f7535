"""How each error of the server is answered: one form for all, and always one that can be sent."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from evergreen.serving.endpoint import NotServingError
from evergreen.serving.inputs import InputError, escaped
from evergreen.serving.served_version import OverloadedError, PredictionError

log = logging.getLogger(__name__)

RETRY_AFTER_S = "2"


class ErrorResponse(BaseModel):
    """Why there is no answer, and each error of the input."""

    error: str
    details: list[dict[str, Any]] = []


#: What every question may be answered with, for the OpenAPI page.
FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": message}
    for status, message in {
        400: "The body is no text",
        401: "No known token was sent",
        404: "No such model or page",
        405: "The page is asked in another way",
        408: "The body did not arrive in time",
        413: "The body is too large",
        422: "The input cannot be used; details name row and column",
        500: "The version that serves failed on this input",
        503: "Nothing is loaded yet, or too much waits",
    }.items()
}


def add_error_responses(app: FastAPI) -> None:
    """Answer each error of *app* with its status, a message and its details."""

    @app.exception_handler(RequestValidationError)
    async def not_read(_: Request, error: RequestValidationError) -> JSONResponse:
        # Without the input: it may hold what JSON cannot carry, such as NaN.
        failures = [
            {"where": ".".join(str(part) for part in e["loc"])[:200], "expected": e["msg"]}
            for e in error.errors()[:20]
        ]
        first = failures[0]
        message = f"the request cannot be read: {first['where']}: {first['expected']}"
        return _fault(422, message, failures)

    @app.exception_handler(InputError)
    async def not_usable(_: Request, error: InputError) -> JSONResponse:
        return _fault(422, str(error), error.details)

    @app.exception_handler(StarletteHTTPException)  # of which FastAPI's is one kind
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return _fault(error.status_code, str(error.detail))

    @app.exception_handler(NotServingError)
    @app.exception_handler(OverloadedError)
    async def later(_: Request, error: Exception) -> JSONResponse:
        return _fault(503, str(error), headers={"Retry-After": RETRY_AFTER_S})

    @app.exception_handler(PredictionError)
    async def failed(_: Request, error: PredictionError) -> JSONResponse:
        log.error("%s", error)
        return _fault(500, str(error))


def _fault(
    status: int,
    message: str,
    details: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return an answer that can be written whatever the names in a request hold."""
    shown = [
        {name: escaped(v) if isinstance(v, str) else v for name, v in one.items()}
        for one in details or []
    ]
    return JSONResponse({"error": escaped(message), "details": shown}, status, headers=headers)
