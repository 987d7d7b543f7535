"""An object store in a local folder."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from typing_extensions import override

from evergreen.errors import ArtifactError
from evergreen.keys import STAGING, checked_key
from evergreen.receipts.common import ObjectRef
from evergreen.storage.base import ByteCounts, ObjectHead, ObjectStore, ref_of


class FolderStore(ObjectStore):
    """An object store in a local folder, safe among processes of one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.uri = self.root.as_uri()
        self.traffic = ByteCounts()

    @override
    def head(self, key: str) -> ObjectHead | None:
        found = _regular(self._path(key))
        if found is None:
            return None
        return ObjectHead(
            size=found.st_size,
            fingerprint=f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}",
            written_at=datetime.fromtimestamp(found.st_mtime, tz=UTC),
        )

    @override
    def get(self, key: str) -> bytes:
        path = self._path(key)
        _regular(path)
        data = path.read_bytes()
        self.traffic.read += len(data)
        return data

    @override
    def put(self, key: str, data: bytes) -> ObjectRef:
        target = self._path(key)
        os.replace(self._staged(data), _with_parents(target))
        _sync_folder(target.parent)
        return ref_of(key, data)

    @override
    def put_if_absent(self, key: str, data: bytes) -> bool:
        target = self._path(key)
        if _regular(target) is not None:
            return False
        staged = self._staged(data)
        try:
            os.link(staged, _with_parents(target))  # fails, atomically, if someone was faster
        except FileExistsError:
            return False
        finally:
            staged.unlink()
        _sync_folder(target.parent)
        return True

    @override
    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    @override
    def list(self, prefix: str) -> Iterator[str]:
        folder = self.root / prefix.rpartition("/")[0]
        keys = (p.relative_to(self.root).as_posix() for p in folder.rglob("*") if p.is_file())
        return iter(sorted(k for k in keys if k.startswith(prefix) and not k.startswith(STAGING)))

    @override
    def heads(self, prefix: str) -> Iterator[tuple[str, ObjectHead]]:
        for key in self.list(prefix):
            if (found := self.head(key)) is not None:
                yield key, found

    @override
    def unfinished(self) -> Iterator[tuple[str, datetime]]:
        for path in sorted((self.root / STAGING).glob("*")):
            yield path.name, datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)

    @override
    def discard(self, name: str) -> None:
        (self.root / STAGING / Path(name).name).unlink(missing_ok=True)

    @override
    def url(self, key: str) -> str:
        return self._path(key).as_uri()

    def _staged(self, data: bytes) -> Path:
        folder = self.root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.traffic.written += len(data)
        return Path(file.name)

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*checked_key(key).split("/"))


def _regular(path: Path) -> os.stat_result | None:
    """
    Return what is known of the file at *path*, None if nothing is there.

    :raises ArtifactError: If something else is there, which could not be read, or never to its end.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return None
        what = "a link to nothing"
    except OSError as error:
        what = f"something that cannot be looked at ({error.strerror})"
    else:
        if stat.S_ISREG(found.st_mode):
            return found
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        what = kinds.get(stat.S_IFMT(found.st_mode), "a device")
    raise ArtifactError(
        f"Found {what} at {path}, expected a file. Nothing was read from it. Move it away and put "
        "the file in its place, then clear this task."
    )


def _with_parents(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: POSIX asks for the folder to be synced too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
