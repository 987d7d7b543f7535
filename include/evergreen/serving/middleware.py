"""What a request must pass before it is read: a token, and a size."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Asked by load balancers and container engines, which have no token; they say nothing of models.
OPEN = ("/v2/health/live", "/v2/health/ready", "/ping")
#: Makes a browser ask a person for the token.
ASK = b'Basic realm="Evergreen model server: the token as password"'


class Guard:
    """
    Let a request through if it may come and is not too large.

    :param tokens: Any of these opens the server; none opens it to all.
    :param max_bytes: Of a request's body, whether its length is announced or not.
    """

    def __init__(self, app: ASGIApp, *, tokens: Sequence[str], max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 413, or hand the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self.tokens and scope["path"] not in OPEN and not self._may(headers):
            message = "send a known token as 'Authorization: Bearer <token>', or as a password"
            await _refuse(send, 401, message, extra=[(b"www-authenticate", ASK)])
            return
        body = await self._body(headers, receive)
        if body is None:
            limit = f"the body is larger than {self.max_bytes} bytes; send fewer rows at a time"
            await _refuse(send, 413, limit, extra=[(b"connection", b"close")])
            return
        await self.app(scope, _replay(body, receive), send)

    def _may(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        token = given.strip()
        if kind.lower() == b"basic":  # a browser: any name, the token as password
            try:
                token = base64.b64decode(token, validate=True).partition(b":")[2]
            except ValueError:
                return False
        elif kind.lower() != b"bearer":
            return False
        # Each comparison takes the same time whatever is given, so that no token can be guessed
        # letter by letter.
        return any([hmac.compare_digest(token, known) for known in self.tokens])  # noqa: C419 - all

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_bytes:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)  # the caller has gone
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self.max_bytes:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a source that gives *body* first and then what else comes."""
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def source() -> Message:
        return given.pop() if given else await receive()

    return source


async def _refuse(
    send: Send, status: int, message: str, *, extra: Sequence[tuple[bytes, bytes]]
) -> None:
    data = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *extra]})
    await send({"type": "http.response.body", "body": data})
