"""What made a version: digests of data, code and spec that stay the same when nothing changed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from evergreen.model_files import content_digest, model_files, prepare_files
from evergreen.receipts.release import VersionIdentity
from evergreen.spec import MODELS_DIR, ModelSpec
from evergreen.storage.records import canonical_json, digest_of

PACKAGE_DIR = Path(__file__).parent
#: What stands for a commit that could not be determined; the reason follows.
UNKNOWN = "unknown"


#: Parts of a spec that decide neither examples nor fit: where it runs, and who is informed.
DECIDES_NOTHING = frozenset({"engine", "description", "owner", "tags", "alerts", "retention"})


def spec_digest(spec: ModelSpec) -> str:
    """Digest of every value of *spec*, defaults included, that may decide what is fitted."""
    return digest_of(canonical_json(spec.model_dump(mode="json", exclude=set(DECIDES_NOTHING))))


def code_digest(model: str, *, models_dir: Path = MODELS_DIR) -> str:
    """Digest of Evergreen's own modules and of every file of the model's folder but its spec."""
    ours = sorted(PACKAGE_DIR.rglob("*.py"))
    return _digest_files(
        {path: path.relative_to(PACKAGE_DIR.parent) for path in ours}
        | _below(models_dir, model_files(model, models_dir=models_dir))
    )


def prepare_digest(model: str, *, models_dir: Path = MODELS_DIR) -> str:
    """
    Digest of ``prepare.py``, of the modules that it imports and of every data file beside them.

    A change to ``pipeline.py`` must not prepare a year of examples again, and a change to a
    feature module or a table that ``prepare.py`` uses must.

    :raises CandidateError: If one of the modules cannot be read as Python.
    """
    return _digest_files(_below(models_dir, prepare_files(model, models_dir=models_dir)))


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


def _below(models_dir: Path, files: list[Path]) -> dict[Path, Path]:
    """Return the name of each file that does not depend on where the models are."""
    return {path: Path("models", path.relative_to(models_dir)) for path in files}


def _digest_files(names: Mapping[Path, Path]) -> str:
    parts: list[bytes | str] = []
    for path, name in sorted(names.items(), key=lambda pair: os.fsencode(pair[1])):
        parts += [os.fsencode(name), content_digest(path)]
    return digest_of(*parts)
