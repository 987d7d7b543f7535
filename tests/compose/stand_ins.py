"""
Images under the names that docker-compose.yaml asks a registry for, where no registry is reached.

They are for an engine of the test's own only: on any other a wrong image would have a right name.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.compose.engine import ALONE, Engine
from tests.support.production import COMPOSE

FILES = Path(__file__).parent / "stand_ins"
ROOT_IMAGE = "evergreen-stand-in:root"
#: Debian 13 has Python 3.13, PostgreSQL 17, Redis 8 and Prometheus.
RELEASE, MIRROR = "trixie", "http://deb.debian.org/debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: Of the machine's settings, what packages are fetched with.
APT = re.compile(r"^Acquire::(https?::|Check-|Retries)")
PIP = re.compile(r"^(?:global|:env:)\.(index-url|proxy|default-timeout|timeout)='(.*)'$")


def wanted(services: dict[str, dict]) -> list[str]:
    """Return the names of all images that are not built from this repository."""
    names = {one["image"] for one in services.values() if not one["image"].startswith("evergreen-")}
    for file in (COMPOSE.parent / "include" / "deploy").glob("*.Dockerfile"):
        names |= set(re.findall(r"^FROM (\S+)$", file.read_text(), re.MULTILINE))
    return sorted(names)


def build_stand_ins(engine: Engine, images: list[str]) -> None:
    """Build each of *images* from the target of its name in the Dockerfile."""
    _make_root(engine)
    with tempfile.TemporaryDirectory(prefix="eg-stand-ins-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(FILES, context)
        _copy_settings(context / "machine")
        services = {
            (target := image.split("/")[-1].split(":")[0]): {
                "image": image,
                "build": {"context": str(context), "target": target},
            }
            for image in images
        }
        file = Path(folder) / "stand-ins.json"
        file.write_text(json.dumps({"name": "stand-ins", "services": services}))
        engine.run("docker", "compose", "--file", file, "build")


def _make_root(engine: Engine) -> None:
    if engine.docker("images", "--quiet", ROOT_IMAGE):
        return
    root, archive = engine.cache / "root", engine.cache / "root.tar"
    shutil.rmtree(root, ignore_errors=True)  # of a run that was killed
    engine.run(
        *ALONE,
        "debootstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        RELEASE,
        root,
        MIRROR,
    )
    engine.run(
        "tar",
        "--create",
        "--directory",
        root,
        "--file",
        archive,
        "--exclude=./var/cache/apt/archives/*.deb",
        "--exclude=./var/lib/apt/lists/*",
        ".",
    )
    engine.docker("import", str(archive), ROOT_IMAGE)
    archive.unlink()
    shutil.rmtree(root)


def _copy_settings(machine: Path) -> None:
    """Give containers what the machine itself fetches packages with."""
    apt, certificates = (
        machine / "etc/apt/apt.conf.d",
        machine / CERTIFICATES.parent.relative_to("/"),
    )
    for folder in (apt, certificates):
        folder.mkdir(parents=True)
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, certificates)
    said = _said("apt-config", "dump", "Acquire")
    (apt / "99machine").write_text("\n".join(line for line in said if APT.match(line)) + "\n")
    found = dict(m.groups() for line in _said("pip", "config", "list") if (m := PIP.match(line)))
    settings = found | {"cert": str(CERTIFICATES)}
    lines = [f"{key.removeprefix('default-')} = {value}" for key, value in settings.items()]
    (machine / "etc/pip.conf").write_text("\n".join(["[global]", *lines]) + "\n")


def _said(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines()
