"""Slow callers, each with a real connection to a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from tests.conftest import wait_until
from tests.support.serving import TOKEN, Server, model_server

HEADERS_S, PART_S, BODY_S = 2.0, 1.0, 3.0
#: Connections of slow callers at a time.
SLOW, LIMIT = 60, 80
POST = (
    f"POST /invocations HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {TOKEN}\r\n"
    "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def server(network, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with model_server(
        f"file://{folder}/store",
        "http://127.0.0.1:9",
        folder / "cache",
        wait=False,
        models="flight_delay",
        headers_s=HEADERS_S,
        body_part_s=PART_S,
        body_s=BODY_S,
        max_connections=LIMIT,
    ) as found:
        wait_until(lambda: is_live(found), within_s=90, what="the server")
        yield found


def is_live(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/v2/health/live", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def connections(server: Server, count: int, *, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open *count* connections and send the same bytes on each."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(count)]
        for one in found:
            one.sendall(sent)
        yield found


def seconds_to_the_end(one: socket.socket, *, since: float) -> tuple[float, bytes]:
    """Return when the server closed the connection, and what it sent before."""
    one.settimeout(3 * (HEADERS_S + BODY_S))
    data = b""
    try:
        while part := one.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return time.monotonic() - since, data


@pytest.mark.parametrize(
    "sent", [b"", b"POST", b"POST /invocations HTTP/1.1\r\nHost: s\r\n", b"GET / HTTP/1.1\r\nA: "]
)
def test_a_connection_without_whole_headers_is_closed(server, sent):
    since = time.monotonic()

    with connections(server, SLOW, sent=sent) as slow:
        assert is_live(server)
        ends = [seconds_to_the_end(one, since=since) for one in slow]

    assert [data for _, data in ends] == [b""] * SLOW
    assert all(HEADERS_S * 0.9 <= seconds < HEADERS_S + 3 for seconds, _ in ends)


def test_a_caller_that_sends_one_byte_at_a_time_does_not_get_longer(server):
    since = time.monotonic()

    with connections(server, 1) as (slow,):
        try:
            for byte in b"GET /v2/health/live HTTP/1.1\r\nHost: a-long-name\r\n":
                slow.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass

    assert time.monotonic() - since < HEADERS_S + 3


def test_the_second_request_of_a_connection_has_as_long(server):
    asked = b"GET /v2/health/live HTTP/1.1\r\nHost: s\r\n\r\n"

    with connections(server, 1, sent=asked) as (one,):
        answer = b""
        while b"true" not in answer:
            answer += one.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        since = time.monotonic()
        one.sendall(b"GET /v2/health/li")
        seconds, data = seconds_to_the_end(one, since=since)

    assert data == b""
    assert HEADERS_S * 0.9 <= seconds < HEADERS_S + 3


def test_a_body_that_stops_is_answered_with_408(server):
    since = time.monotonic()

    with connections(server, SLOW, sent=POST + b'{"dataframe') as slow:
        assert is_live(server)
        ends = [seconds_to_the_end(one, since=since) for one in slow]

    assert all(data.startswith(b"HTTP/1.1 408") for _, data in ends)
    assert all(b"the body did not arrive in time: 1 s may pass" in data for _, data in ends)
    assert all(PART_S * 0.9 <= seconds < PART_S + 3 for seconds, _ in ends)


def test_a_body_that_comes_byte_by_byte_is_answered_with_408(server):
    since = time.monotonic()

    with connections(server, 1, sent=POST) as (slow,):
        slow.settimeout(0.3)
        data = b""
        while not data and time.monotonic() - since < 3 * BODY_S:
            slow.sendall(b" ")
            try:
                data = slow.recv(65536)
            except TimeoutError:
                continue

    assert data.startswith(b"HTTP/1.1 408")
    assert BODY_S * 0.9 <= time.monotonic() - since < BODY_S + 3


def test_beyond_the_limit_of_connections_callers_get_503_and_later_an_answer(server):
    with connections(server, LIMIT):
        answer = httpx.get(f"{server.url}/v2/health/live", timeout=5)
        assert answer.status_code == 503

    wait_until(lambda: is_live(server), within_s=HEADERS_S + 5, what="an answer")


def test_far_beyond_the_limit_connections_are_closed_unread(server):
    since = time.monotonic()

    with connections(server, LIMIT + 150) as many:
        ends = [seconds_to_the_end(one, since=since)[0] for one in many[-20:]]

    assert max(ends) < HEADERS_S * 0.9
    wait_until(lambda: is_live(server), within_s=HEADERS_S + 5, what="an answer")


def test_no_page_of_the_server_loads_anything_from_another_host(server):
    for path in ("/docs", "/redoc"):
        assert server.http.get(path).status_code == 404
    assert server.http.get("/openapi.json").status_code == 200
    assert "://" not in server.http.get("/").text.replace(server.url, "")
