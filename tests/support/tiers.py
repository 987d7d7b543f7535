"""
Three tiers of tests, decided by the fixtures that a test asks for.

A fixture that starts a server or connects to one asks for ``network``; one that starts Airflow's
services asks for ``airflow_services``. Whatever depends on them is an integration test or an e2e
test. All else is a unit test, and a unit test that uses the network fails.
"""

from __future__ import annotations

import importlib
import re
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

UNIT, INTEGRATION, E2E = TIERS = ("unit", "integration", "e2e")

#: The e2e tests of a stack run in one process: by a fixture of the test, else in the first lane.
LANES = {
    "scheduled_stack": "scheduled",
    "production": "celery",
    "shown": "demo",
    "sqlite_stack": "sqlite",
}
FIRST_LANE = "stack"

_NETWORK = {socket.AF_INET, socket.AF_INET6}
_SOCKET_EVENTS = ("socket.connect", "socket.bind", "socket.sendto")
#: Commands of servers; what they open is not seen from here.
_SERVER = re.compile(
    r"mlflow server|tests\.support\.s3|evergreen serve\b|supervisord|redis-server|dockerd|chromium"
    r"|(^|/| )(postgres|nginx|weed) |airflow (api-server|scheduler|triggerer|dag-processor)"
)


class NetworkInUnitTestError(RuntimeError):
    """A unit test used the network."""


def tier_of(fixtures: Collection[str]) -> str:
    """Return the tier of a test by all fixtures it needs, directly or not."""
    if "airflow_services" in fixtures:
        return E2E
    return INTEGRATION if "network" in fixtures else UNIT


def lane_of(fixtures: Collection[str]) -> str | None:
    """Return the stack of an e2e test, whose tests share a process; None for other tests."""
    if tier_of(fixtures) != E2E:
        return None
    return next((lane for name, lane in LANES.items() if name in fixtures), FIRST_LANE)


class _Guard:
    """Refuses the network while it is closed, and remembers what was refused."""

    def __init__(self) -> None:
        self.is_installed = self.is_closed = False
        self.refused: list[str] = []

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_closed:
            return
        if event in _SOCKET_EVENTS and arguments[0].family in _NETWORK:
            self._refuse(f"{event} {arguments[-1]}")
        if event == "subprocess.Popen":
            message = arguments[1] if not isinstance(arguments[1], str | bytes) else [arguments[1]]
            command = " ".join(map(str, message))
            if _SERVER.search(command[:2_000]):
                self._refuse(command[:200])

    def _refuse(self, what: str) -> None:
        self.refused.append(what)
        raise NetworkInUnitTestError(f"A unit test may not use the network: {what}")


_guard = _Guard()


@contextmanager
def without_network() -> Iterator[None]:
    """
    Refuse sockets of the internet family and known servers, in every thread.

    :raises NetworkInUnitTestError: At the end, if anything was refused: libraries catch errors.
    """
    if not _guard.is_installed:
        importlib.import_module("urllib3")  # it binds a socket while it is imported
        sys.addaudithook(_guard.hook)  # cannot be removed, so it is there once
        _guard.is_installed = True
    _guard.is_closed, _guard.refused = True, []
    try:
        yield
    finally:
        _guard.is_closed = False
    if _guard.refused:
        raise NetworkInUnitTestError(
            f"A unit test used the network: {_guard.refused}. Let it ask for the fixture network."
        )
