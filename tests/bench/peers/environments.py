"""Run the script of a peer in an environment of its own, made once from the pinned versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
KEPT = ROOT / ".evergreen" / "peers"
#: Seconds that installing a peer, or all its verdicts, may take.
PATIENCE_S = 1800
#: The peers report their use to their makers unless this forbids it.
NO_REPORTS = {
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
    "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "1",
    "DEEPCHECKS_DISABLE_LATEST": "true",
}


class PeerMissingError(Exception):
    """A peer cannot be installed or run here; the message says why."""


def peers() -> dict[str, dict]:
    """Return what ``versions.toml`` has of each peer: its script and its packages."""
    return tomllib.loads((HERE / "versions.toml").read_text())


def title(name: str) -> str:
    """Return the name of a peer with its version."""
    return peers()[name]["packages"][0].replace("==", " ")


def python_of(name: str) -> Path:
    """
    Return the Python of the environment of peer *name*, which is made if it is not there.

    :raises PeerMissingError: If its packages cannot be installed.
    """
    packages = peers()[name]["packages"]
    folder, ready = KEPT / name, KEPT / name / "packages.json"
    python = folder / "bin" / "python"
    if ready.exists() and json.loads(ready.read_text()) == packages:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(Path(sys.executable).parent / "uv")
    try:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *packages])
    except PeerMissingError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    ready.write_text(json.dumps(packages))
    return python


def run_peer(name: str, folder: Path, *, script: str | None = None) -> dict:
    """
    Run *script* of peer *name*, the one of ``versions.toml`` by default, and return what it writes.

    :param folder: Holds the plan of ``plan_io.py``, and gets the verdicts.
    :raises PeerMissingError: If the peer cannot be installed, or fails.
    """
    python = python_of(name)
    _run([str(python), str(HERE / (script or peers()[name]["script"])), str(folder)])
    return json.loads((folder / "verdicts.json").read_text())


def _run(command: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment |= NO_REPORTS | {"OMP_NUM_THREADS": "1"}
    name = f"{Path(command[0]).name} {command[1].split('/')[-1]}"
    try:
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise PeerMissingError(f"{name}: did not end within {PATIENCE_S} s") from None
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        # uv explains from its first line on; of a traceback the last line has the error.
        why = lines[-1:] if any(line.startswith("Traceback") for line in lines) else lines
        shown = " ".join(" ".join(why).split()).replace("|", "/")[:300]
        raise PeerMissingError(f"{name}: {shown}")
