"""How a task's process treats others: it ends with its supervisor, a backfill steps back."""

from __future__ import annotations

import os

from evergreen.processes import exit_with_parent

#: At this niceness a process gets about a tenth of what an ordinary one gets (sched(7)).
BACKFILL_NICENESS = 10


def exit_with_supervisor() -> None:
    """
    Ask the kernel to kill this process when its supervisor dies.

    A task whose supervisor was killed otherwise lives on and finishes beside its own retry
    (FACTS, "execution"). Where the kernel cannot, publishing that converges is the only guard.
    """
    exit_with_parent()


def lower_priority() -> None:
    """Leave the processor to the processes of nightly runs; they get it whenever they want it."""
    os.nice(BACKFILL_NICENESS)
