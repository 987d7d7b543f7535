"""Where every object lies in a model server's own cache, on its disk."""

from __future__ import annotations


def cached_champion(model: str) -> str:
    """Return the key of the version that served last."""
    return f"serving/{model}.json"


def cached_versions(model: str, version: str = "", sha256: str = "") -> str:
    """Return the prefix of all versions of a model, or of one."""
    return f"versions/{model}/" + (f"{version}-{sha256[:16]}" if version else "")
