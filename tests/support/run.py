"""
One run of pytest: a folder that all its processes share, and the end of everything it started.

The first process of the run marks its environment. All that it starts inherits the mark: the
workers of xdist and every server. A watchdog waits for the end of the first process, even by
SIGKILL, and kills every marked process. It waits for the process and not for a thread, as
``PR_SET_PDEATHSIG`` would.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

#: The variable that marks a process of the run; its value is the run's folder.
MARK = "EVERGREEN_TEST_RUN"

#: A whole run writes about 2 GB.
MIN_FREE_BYTES = 6 * 1024**3

_state = {"began": False}


def is_first_process() -> bool:
    """Return whether this process began the run; False in a worker of xdist."""
    return _state["began"]


def folder() -> Path:
    """Return the folder that all processes of the run share."""
    return Path(os.environ[MARK])


def begin() -> None:
    """Make the folder, set the mark and start the watchdog; do nothing in a marked process."""
    if MARK in os.environ:
        return
    _state["began"] = True
    made = Path(tempfile.mkdtemp(prefix="eg-run-", dir=_parent()))
    made.chmod(0o711)  # PostgreSQL's user must reach its own folder
    temporary = made / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    os.environ |= {MARK: str(made), "TMPDIR": str(temporary)}
    tempfile.tempdir = None  # it is chosen anew, by TMPDIR
    detach(
        subprocess.Popen(
            [sys.executable, __file__, str(os.getpid()), str(made)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def _parent() -> str | None:
    """
    Return a file system in memory with enough room, if there is one.

    MLflow on SQLite and our stores wait for the disk at each write: 27 ms on a slow one, next to
    nothing in memory. No test is about a machine that loses its power.
    """
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        return None
    return str(memory) if shutil.disk_usage(memory).free >= MIN_FREE_BYTES else None


def detach(process: subprocess.Popen) -> None:
    """Let *process* outlive this one; without an exit code Python would warn."""
    process.returncode = 0


def end() -> None:
    """Stop everything the run started and remove its folder; do nothing in another process."""
    if is_first_process():
        stop_everything(folder())
        shutil.rmtree(folder(), ignore_errors=True)


def once(name: str, make: Callable[[Path], Any]) -> Any:
    """
    Return what *make* returned in the first process of the run that asked for *name*.

    :param make: It is given an empty folder of its own, and returns what JSON can hold.
    """
    place, result = folder() / name, folder() / f"{name}.json"
    with locked(folder() / f"{name}.lock"):
        if not result.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            result.write_text(json.dumps(make(place)))
    return json.loads(result.read_text())


def publish(name: str, value: Any) -> None:
    """Let every process of the run read *value*; whoever publishes a name has the same value."""
    staged = folder() / f"{name}.{os.getpid()}"
    staged.write_text(json.dumps(value))
    staged.replace(folder() / f"{name}.json")


def published(name: str) -> Any:
    return json.loads((folder() / f"{name}.json").read_text())


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that only one process has at a time; it ends with its process."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def register_session(leader: int) -> None:
    """
    Let the watchdog find a session by its leader.

    Airflow's processes write their titles over their environment, and the mark with it.
    """
    sessions = folder() / "sessions"
    sessions.mkdir(exist_ok=True)
    (sessions / str(leader)).touch()


def register_worker() -> None:
    """Let the watchdog find this process: xdist writes its title over its environment."""
    workers = folder() / "workers"
    workers.mkdir(exist_ok=True)
    (workers / str(os.getpid())).write_text(str(psutil.Process().create_time()))


def workers_of(run: Path) -> Iterator[psutil.Process]:
    for path in (run / "workers").glob("*"):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(path.name))
            has_ended = process.status() == psutil.STATUS_ZOMBIE
            if not has_ended and str(process.create_time()) == path.read_text():
                yield process


def processes_of(run: Path) -> list[psutil.Process]:
    """Return workers, marked processes, and those in a session that one of the marked leads."""
    marked = [process for process in psutil.process_iter() if is_marked(process, run)]
    leaders = {process.pid for process in marked}
    leaders |= {int(path.name) for path in (run / "sessions").glob("*")}
    found = {process.pid: process for process in (*workers_of(run), *marked)}
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in leaders and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process
    return [process for pid, process in found.items() if pid != os.getpid()]


def is_marked(process: psutil.Process, run: Path) -> bool:
    try:
        return bool(process.environ().get(MARK) == str(run))
    except (OSError, psutil.Error):  # it ended, or belongs to another user
        return False


def stop_everything(run: Path) -> None:
    """Kill until nothing is found: a process may start another while it is being killed."""
    for found in _until_empty(lambda: processes_of(run)):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=5)


def _until_empty(find: Callable[[], list[psutil.Process]]) -> Iterator[list[psutil.Process]]:
    for _ in range(20):
        if not (found := find()):
            return
        yield found


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended; its parent need not have noticed."""
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if not hasattr(os, "pidfd_open"):  # Linux only
            psutil.Process(pid).wait()
            return
        handle = os.pidfd_open(pid)
        select.select([handle], [], [])


def watch(pid: int, run: Path) -> None:
    """Wait for the end of process *pid*, then end the run in its place."""
    wait_for_end(pid)
    stop_everything(run)
    shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]), Path(sys.argv[2]))
