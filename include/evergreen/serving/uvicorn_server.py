"""Run the model server under uvicorn until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import MutableMapping
from types import FrameType

import uvicorn

from evergreen.serving.settings import read_server_settings

#: What waits is answered; a caller that reads slowly is not waited for any longer.
SHUTDOWN_WITHIN_S = 30


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
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_WITHIN_S,
        server_header=False,
    )
    DrainingServer(config).run()
