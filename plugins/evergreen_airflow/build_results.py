"""
Remember in the DAG processor which DAG files built the DAGs of all models when last parsed.

Each file is parsed in a fork of the DAG processor, so the results are kept in memory that all forks
share. Any other process has no such memory and knows of no file, which is always safe: a file that
is not known is built once more.
"""

from __future__ import annotations

import mmap
import zlib

#: One byte for each file, found by the checksum of its path.
SLOTS = 2**20
_UNKNOWN, _COMPLETE, _FAILED = range(3)


class _Results:
    shared: mmap.mmap | None = None
    #: Files of which a build failed in this process; a file may build more than one workflow.
    failed: frozenset[str] = frozenset()


def share() -> None:
    """Begin to remember; call it once, in the process that forks for each file."""
    _Results.shared = mmap.mmap(-1, SLOTS)


def record(file: str, *, is_complete: bool) -> None:
    """Keep whether *file* built all it should."""
    if _Results.shared is None:
        return
    if not is_complete:
        _Results.failed |= {file}
    _Results.shared[_slot(file)] = _FAILED if file in _Results.failed else _COMPLETE


def is_complete(file: str) -> bool:
    """Return whether *file* is known to have built all it should when it was last parsed."""
    return _Results.shared is not None and _Results.shared[_slot(file)] == _COMPLETE


def _slot(file: str) -> int:
    return zlib.crc32(file.encode(errors="surrogateescape")) % SLOTS
