"""What a request must pass before it is read: a token, and a size."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from fastapi.exceptions import HTTPException
from fastapi.security import HTTPBasic, HTTPBearer
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Asked by load balancers and container engines, which have no token; they say nothing of models.
OPEN = ("/v2/health/live", "/v2/health/ready", "/ping")
BEARER = HTTPBearer(auto_error=False, description="One of the tokens of the server.")
#: Makes a browser ask a person for the token.
BASIC = HTTPBasic(
    auto_error=False,
    realm="Evergreen model server: the token as password",
    description="Any user name, one of the tokens of the server as password.",
)


class SlowBodyError(Exception):
    """A body, or the next part of it, did not arrive in time."""


class Guard:
    """
    Let a request through if it has a known token, is not too large and arrives in time.

    A middleware and not a dependency of the pages: FastAPI parses a body before it calls
    dependencies, and calls none for unknown pages and for its own, such as ``/docs``.

    :param tokens: Any of these opens the server; none opens it to all.
    :param max_bytes: Of a request's body, whether its length is announced or not.
    :param part_s: Longest time between two parts of a body, in seconds.
    :param body_s: Longest time until the whole body is there, in seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Sequence[str],
        max_bytes: int,
        part_s: float = 10,
        body_s: float = 60,
    ) -> None:
        self.app, self.max_bytes, self.part_s, self.body_s = app, max_bytes, part_s, body_s
        self.tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 408 or 413, or hand the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.tokens and scope["path"] not in OPEN and not await self._may(Request(scope)):
            message = "send a known token as 'Authorization: Bearer <token>', or as a password"
            refusal = JSONResponse({"error": message}, 401, BASIC.make_authenticate_headers())
            await refusal(scope, receive, send)
            return
        try:
            body = await self._body(dict(scope["headers"]), receive)
        except SlowBodyError as error:
            refusal = JSONResponse({"error": str(error)}, 408, {"Connection": "close"})
            await refusal(scope, receive, send)
            return
        if body is None:
            limit = f"the body is larger than {self.max_bytes} bytes; send fewer rows at a time"
            refusal = JSONResponse({"error": limit}, 413, {"Connection": "close"})
            await refusal(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _may(self, request: Request) -> bool:
        given = await _token(request)
        if given is None:
            return False
        token = given.encode("latin-1")  # as it was sent: headers are decoded as this
        # Each comparison takes the same time whatever is given, so that no token can be guessed
        # letter by letter.
        known = [secrets.compare_digest(token, one) for one in self.tokens]
        return any(known)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_bytes:
            return None
        parts: list[bytes] = []
        size = 0
        ends = asyncio.get_running_loop().time() + self.body_s
        while True:
            message = await self._part(receive, ends=ends)
            if message["type"] != "http.request":
                return b"".join(parts)  # the caller has gone
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self.max_bytes:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _part(self, receive: Receive, *, ends: float) -> Message:
        """
        Return the next part of a body.

        :param ends: When the whole body must be there, by the event loop's clock.
        :raises SlowBodyError: If the part does not arrive in time.
        """
        latest = min(ends, asyncio.get_running_loop().time() + self.part_s)
        try:
            async with asyncio.timeout_at(latest):
                return await receive()
        except TimeoutError:
            raise SlowBodyError(
                f"the body did not arrive in time: {self.part_s:g} s may pass between two parts, "
                f"{self.body_s:g} s until the whole is there"
            ) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a source that gives *body* first and then what else comes."""
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def source() -> Message:
        return given.pop() if given else await receive()

    return source


async def _token(request: Request) -> str | None:
    """Return what a request sends as bearer token, or as password of any user."""
    if (bearer := await BEARER(request)) is not None:
        return bearer.credentials
    try:
        basic = await BASIC(request)
    except HTTPException:  # not base64, or without a colon
        return None
    return basic.password if basic is not None else None


def describe_security(page: dict[str, Any]) -> None:
    """Add both ways to send a token to the OpenAPI *page*, for every path that needs one."""
    schemes = (BEARER, BASIC)
    page.setdefault("components", {})["securitySchemes"] = {
        scheme.scheme_name: scheme.model.model_dump(mode="json", by_alias=True, exclude_none=True)
        for scheme in schemes
    }
    for path, operations in page["paths"].items():
        if path not in OPEN:
            for operation in operations.values():
                operation["security"] = [{scheme.scheme_name: []} for scheme in schemes]
