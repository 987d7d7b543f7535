"""A web hook that really listens, for what is sent to people."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def listening() -> Iterator[tuple[int, list[dict]]]:
    """Yield a port on loopback, and the JSON bodies that were posted to it."""
    results: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            results.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port, results
        finally:
            server.shutdown()


def pager_to(port: int) -> str:
    """Return an Airflow connection that tells the web hook at *port*."""
    there = {"path": f"json://127.0.0.1:{port}/alert", "tag": "all"}
    return json.dumps({"conn_type": "apprise", "extra": {"config": there}})
