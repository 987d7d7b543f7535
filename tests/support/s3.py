"""A server that speaks S3, and a bad line to it."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from evergreen.storage.s3 import CONFIG, BucketStore

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


def make_s3_server(port: int = 0) -> BaseWSGIServer:
    """
    Return moto's S3 on 127.0.0.1, with writes that are atomic as those of S3 are.

    moto looks for the object and writes it in two steps, so that two threads with
    ``If-None-Match: *`` can both find none. Here one write follows another; reads do not wait.
    """
    application, write = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_write_at_a_time(environ, start_response):
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        with write:
            return application(environ, start_response)

    return make_server(
        "127.0.0.1",
        port,
        one_write_at_a_time,
        threaded=True,
        request_handler=MotoRequestHandler,
    )


@contextmanager
def s3_server() -> Iterator[str]:
    """Run the server on a port of its own; yield its address."""
    server = make_s3_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def client_of(url: str):
    return boto3.client("s3", endpoint_url=url, config=CONFIG, **KEYS)


def bucket_at(url: str, name: str, prefix: str = "dev", **options) -> BucketStore:
    """Make the bucket *name* if need be, and return the store below *prefix*."""
    client_of(url).create_bucket(Bucket=name)
    return BucketStore(f"s3://{name}/{prefix}", client_of(url), **options)


class BadLine:
    """
    Hands requests on to a server, and spoils answers.

    ``spoil`` lists which: a method, and ``lost``, ``cut`` or ``page``; ``seen`` lists every method.
    """

    def __init__(self, url: str) -> None:
        self.spoil: list[tuple[str, str]] = []
        self.seen: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.there, self.server.line = url.removeprefix("http://"), self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def error(self, method: str) -> str | None:
        self.seen.append(method)
        is_next = bool(self.spoil) and self.spoil[0][0] == method
        return self.spoil.pop(0)[1] if is_next else None

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def hand_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        there = HTTPConnection(self.server.there)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        data, error = answer.read(), self.server.line.error(self.command)
        if error == "lost":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if error == "page":
            data = b"<html>Please log in</html>"
        self._answer(answer, data, is_page=error == "page")
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if error == "cut" else data)
        if error == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, answer, data: bytes, *, is_page: bool):
        left_out = ("content-length", "connection", "transfer-encoding")
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            is_checksum = name.lower().startswith("x-amz-checksum")
            if name.lower() not in left_out and not (is_page and is_checksum):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()


for _method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler.hand_on)


if __name__ == "__main__":
    make_s3_server(int(sys.argv[1])).serve_forever()
