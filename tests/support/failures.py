"""
Kill a process with SIGKILL after any one of its effects on the outside world.

An effect is a write to the object store or a request that changes something in MLflow. The process
is a fork of the test's, so that it starts with everything imported.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator

import pytest
import requests
from mlflow.utils import request_utils

from evergreen.storage.folder import FolderStore

#: POST requests that only ask.
QUESTIONS = ("/search", "/get", "search-")
#: Kill after every fourth effect, and in ``make test-slow`` after every one.
some_effects_and_all = pytest.mark.parametrize(
    "step", [4, pytest.param(1, marks=pytest.mark.slow)], ids=["every fourth", "every one"]
)


def forked(work: Callable[[], object]) -> Callable[[], int]:
    """Start *work* in a child; the returned function waits and gives 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            request_utils._cached_get_request_session.cache_clear()  # sockets are the parent's
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - the child must not return into pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_after_each_effect(
    prepare: Callable[[], Callable[[], object]], *, step: int = 1
) -> Iterator[int]:
    """
    For k = 1, 1 + step, ...: run what *prepare()* returns in a child that dies after effect k.

    Yields k once the child is dead, for the test to try again; ends when a child came through.
    """
    k = 1 - step
    while True:
        k += step
        work = prepare()
        outcome = forked(lambda w=work, k=k: _dying(w, after=k))()
        if outcome == 0:
            return
        assert outcome == -signal.SIGKILL, f"the child ended with {outcome} before effect {k}"
        yield k


def _dying(work: Callable[[], object], *, after: int) -> None:
    seen = 0

    def effect() -> None:
        nonlocal seen
        seen += 1
        if seen == after:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("put", "put_if_absent", "delete"):
        setattr(FolderStore, name, _followed_by(getattr(FolderStore, name), effect))
    real = requests.Session.request

    def request(self, method, url, *args, **kwargs):
        answer = real(self, method, url, *args, **kwargs)
        if method.upper() != "GET" and not any(word in url for word in QUESTIONS):
            effect()
        return answer

    requests.Session.request = request
    work()


def _followed_by(method: Callable, effect: Callable[[], None]) -> Callable:
    def wrapped(*args, **kwargs):
        found = method(*args, **kwargs)
        effect()
        return found

    return wrapped
