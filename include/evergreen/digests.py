"""What made a version: digests of data, code and spec that stay the same when nothing changed."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from evergreen.receipts.release import VersionIdentity
from evergreen.spec import MODELS_DIR, ModelSpec
from evergreen.storage.records import canonical_json, digest_of

PACKAGE_DIR = Path(__file__).parent
#: What stands for a commit that could not be determined; the reason follows.
UNKNOWN = "unknown"


def spec_digest(spec: ModelSpec) -> str:
    """Digest of every value of *spec*, defaults included, but where it is fitted: not what."""
    return digest_of(canonical_json(spec.model_dump(mode="json", exclude={"engine"})))


def code_digest(model: str, *, models_dir: Path = MODELS_DIR) -> str:
    """Digest of Evergreen's own modules and of everything in the model's folder."""
    files = [*PACKAGE_DIR.rglob("*.py"), *(models_dir / model).rglob("*.py")]
    return _digest_files(files, root=PACKAGE_DIR.parent)


def prepare_digest(model: str, *, models_dir: Path = MODELS_DIR) -> str:
    """
    Digest of ``prepare.py`` and of the modules of its own folder that it imports.

    A change to ``pipeline.py`` must not prepare a year of examples again, and a change to a
    feature module that ``prepare.py`` uses must.
    """
    folder = models_dir / model
    files, queue = set[Path](), [folder / "prepare.py"]
    while queue:
        path = queue.pop()
        if path not in files and path.is_file():
            files.add(path)
            queue += [folder / f"{name}.py" for name in _imported(path, model)]
    return _digest_files(sorted(files), root=models_dir)


def version_key(*parts: str, as_of: datetime) -> str:
    """Digest that is the same for every attempt at the same work; parts are named in DESIGN 7."""
    return digest_of(as_of.astimezone(UTC).isoformat(), *parts)


@cache
def git_state() -> tuple[str, bool | None]:
    """
    Return the commit of the running code, and whether files differ from it; ``None``: not known.

    An image carries no ``.git`` folder: its ``GIT_SHA`` and ``GIT_DIRTY`` tell, which
    ``make compose-build`` gives it. Without them the first is "unknown: " and the reason.
    """
    git = ["git", "-C", str(PACKAGE_DIR)]
    try:
        sha = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except OSError as error:
        return image_commit(os.environ, git_commit=str(error))
    except subprocess.CalledProcessError as error:
        return image_commit(os.environ, git_commit=error.stderr.strip())
    return sha.stdout.strip(), bool(changes.stdout.strip())


def image_commit(environ: Mapping[str, str], *, git_commit: str) -> tuple[str, bool | None]:
    """
    Return what *environ* tells of the commit, as :func:`git_state` does.

    :param git_commit: Why git could not tell.
    """
    sha = environ.get("GIT_SHA")
    if sha:
        return sha, {"yes": True, "no": False}.get(environ.get("GIT_DIRTY", ""))
    if sha is None:
        return f"{UNKNOWN}: GIT_SHA is not set, and git says: {git_commit}", None
    return f"{UNKNOWN}: the image was built without GIT_SHA; make compose-build gives it", None


def is_commit_known(identity: VersionIdentity) -> bool:
    """Return whether the commit that made the version is on record."""
    return not identity.git_sha.startswith(UNKNOWN)


@cache
def installed_versions() -> dict[str, str]:
    """Return the version of Python and of every installed distribution, by name."""
    found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {"python": platform.python_version()} | dict(sorted(found.items()))


def _digest_files(files: list[Path], *, root: Path) -> str:
    parts: list[bytes | str] = []
    for path in sorted(set(files)):
        name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        parts += [name.as_posix(), path.read_bytes()]
    return digest_of(*parts)


def _imported(path: Path, model: str) -> set[str]:
    """Names of the modules beside *path* that it imports, relatively or as ``models.<model>.x``."""
    names: set[str] = set()
    prefix = f"models.{model}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 1 or module == prefix or module.startswith(f"{prefix}."):
                inner = module.removeprefix(prefix).lstrip(".")
                names |= {inner.split(".")[0]} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.removeprefix(f"{prefix}.").split(".")[0]
                for alias in node.names
                if alias.name.startswith(f"{prefix}.")
            }
    return names
