"""End a task together with its supervisor."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_supervisor() -> None:
    """
    Ask the kernel to kill this process when its supervisor dies.

    A task whose supervisor was killed otherwise lives on and finishes beside its own retry
    (FACTS, "execution"). Linux only; elsewhere publishing that converges is the only guard.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
