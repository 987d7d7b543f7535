"""Open the store that an address names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from evergreen.storage.base import ObjectStore
from evergreen.storage.folder import FolderStore


def open_store(uri: str) -> ObjectStore:
    """
    Return the store at *uri*, such as ``file:///srv/evergreen`` or ``s3://bucket/prefix``.

    A bucket is opened with what boto3 finds in the environment.

    :raises ValueError: If the scheme has no store.
    """
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        from evergreen.storage.s3 import BucketStore  # boto3, for those who have one

        return BucketStore(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return FolderStore(Path(unquote(parts.path)))
    raise ValueError(
        f"No object store for {uri!r}. Expected file:///absolute/folder or s3://bucket/prefix."
    )
