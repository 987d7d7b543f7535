"""Run the model server under uvicorn until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import MutableMapping
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http import auto

from evergreen.serving.settings import ServerSettings, read_server_settings

#: What waits is answered; a caller that reads slowly is not waited for any longer.
SHUTDOWN_WITHIN_S = 30


#: Connections beyond the limit that are still read and get 503; any more are closed unread.
SPARE_CONNECTIONS = 100


#: The class that uvicorn chooses, which depends on what is installed.
_Protocol: Any = auto.AutoHTTPProtocol


class TimedProtocol(_Protocol):  # type: ignore[misc]
    """
    Close a connection whose request has no whole headers after a while.

    uvicorn limits only the time between two requests of one connection. Subclasses made by
    :func:`timed_protocol` set both limits.
    """

    headers_s: float
    max_connections: int
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections + SPARE_CONNECTIONS:
            transport.abort()
        else:
            self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the headers of the next request, or stop when they are whole."""
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()
        elif self._deadline is None:
            self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_headers(self) -> None:
        self._deadline = self.loop.call_later(self.headers_s, self._close_unless_answering)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_unless_answering(self) -> None:
        self._deadline = None
        if not self._is_answering():
            self.transport.close()


def timed_protocol(settings: ServerSettings) -> type[Any]:
    """Return the protocol of a server with *settings*."""
    limits = {"headers_s": settings.headers_s, "max_connections": settings.max_connections}
    return type("ServerProtocol", (TimedProtocol,), limits)


class DrainingServer(uvicorn.Server):
    """Say "not ready" for a while before the port closes, so that no balancer sends more."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first signal; the second one ends at once."""
        server = self.config.app.state.server  # type: ignore[union-attr]
        if server.is_draining or not server.settings.drain_s:
            super().handle_exit(sig, frame)
            return
        server.is_draining = True
        wait = server.settings.drain_s
        asyncio.get_running_loop().call_later(wait, super().handle_exit, sig, frame)


def run_server(environ: MutableMapping[str, str]) -> None:
    """
    Serve until SIGTERM.

    :param environ: Holds the settings; the limits of MLflow's own retries are added to it.
    :raises StackError: If a setting is missing or wrong; nothing was started.
    """
    settings = read_server_settings(environ)
    # MLflow asks seven times and for minutes; while it does, nothing newer can be followed.
    environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    # Heavy imports, after the settings: a wrong setting is reported at once.
    from evergreen.serving.app import make_app
    from evergreen.serving.server import ModelServer

    config = uvicorn.Config(
        make_app(ModelServer(settings)),
        host=settings.host,
        port=settings.port,
        http=timed_protocol(settings),
        limit_concurrency=settings.max_connections + 1,  # uvicorn counts the one that asks
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_WITHIN_S,
        server_header=False,
    )
    DrainingServer(config).run()
