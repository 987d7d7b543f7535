"""
Rewrite a skops file so that the same model always gives the same bytes.

This reads the inside of skops' file format, which skops does not document. It can go away when

- ``skops.io.dump`` numbers ids and members in the order of appearance, where skops 0.16 uses
  addresses in memory;
- ``skops.io.dump`` gives the members of the archive a fixed time stamp, where skops 0.16 gives them
  the time of day;
- ``mlflow.sklearn.save_model`` hands on the ``compression`` that ``skops.io.dump`` already has.

Until then ``requirements.txt`` pins skops, and the test of this module fails if its format changes.
"""

from __future__ import annotations

import io
import json
from pathlib import PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

SCHEMA = "schema.json"


def canonical_skops(data: bytes) -> bytes:
    """
    Return the skops file *data* so that the same model always gives the same bytes.

    skops names its members by addresses in memory and stamps them with the time of day, so that
    the digest of a model that is fitted again would always differ. Addresses become numbers in the
    order in which they appear; members are compressed, which skops leaves off.
    """
    with ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop(SCHEMA))
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}

    def rename(node: Any) -> Any:
        if isinstance(node, list):
            return [rename(item) for item in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("__id__"), int):
            node = node | {"__id__": numbers.setdefault(node["__id__"], len(numbers))}
        if (file := node.get("file")) in members:
            suffix = PurePosixPath(str(file)).suffix
            node = node | {"file": names.setdefault(str(file), f"{len(names)}{suffix}")}
        return {key: rename(value) for key, value in node.items()}

    text = json.dumps(rename(schema), indent=1).encode()
    page = io.BytesIO()
    with ZipFile(page, "w") as archive:
        for name, content in [(SCHEMA, text), *((new, members[old]) for old, new in names.items())]:
            archive.writestr(ZipInfo(name), content, compress_type=ZIP_DEFLATED)  # dated 1980
    return page.getvalue()
