"""Which texts are keys of an object store; light to import, for specs are checked with it."""

from __future__ import annotations

import re

#: Where unfinished writes live; never listed, and safe to delete while nothing runs.
STAGING = ".staging"


def checked_key(key: str) -> str:
    """Return *key*; raises ValueError unless it stays inside any store."""
    parts = set(key.split("/"))
    if {"", ".", "..", STAGING} & parts or not re.fullmatch(r"[\w./=+@-]+", key):
        raise ValueError(
            f"{key!r} is not an object key. Keys are names of letters, digits and ._=+@- "
            "joined by single slashes, with no '.' or '..' among them."
        )
    return key
