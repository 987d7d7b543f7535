"""``python -m evergreen.serving``: run the model server until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from types import FrameType

import uvicorn

from evergreen.errors import StackError
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


def main() -> int:
    """Serve until SIGTERM; return 0, or 1 with the reason if it cannot start."""
    try:
        settings = read_server_settings(os.environ)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # MLflow asks seven times and for minutes; while it does, nothing newer can be followed.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    # The processes of the versions start from this module too and need none of this.
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
