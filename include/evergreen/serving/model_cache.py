"""
Models on the server's own disk, so that a restart needs neither registry nor object store.

What serves is written down last and in one step; every file is read against the digest that was
written with it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.modeling.artifacts import ARTIFACT, EXAMPLE, EXPECTED, download
from evergreen.modeling.smoke_test import SmokeTest
from evergreen.receipts.common import ObjectRef
from evergreen.registry import mlflow_registry
from evergreen.registry.ledger import LedgerEntry
from evergreen.spec import ModelSpec
from evergreen.storage import cache_layout
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import load_document, put_document, read_object
from evergreen.values import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlflow import MlflowClient

FILES = (ARTIFACT, EXAMPLE, EXPECTED)


class CachedVersion(Frozen):
    """One version on disk: what it is, and each of its files with its digest."""

    version: str
    sha256: str
    files: dict[str, ObjectRef]


class ModelCache:
    """The versions of all models under one folder."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder)

    def last_good(self, model: str) -> CachedVersion | None:
        """Return the version that served last, or None if there was none or its files are bad."""
        return self._intact(cache_layout.cached_champion(model))

    def remember(self, model: str, kept: CachedVersion) -> None:
        """Write down that *kept* serves now."""
        put_document(self.store, cache_layout.cached_champion(model), kept)

    def fetch(self, client: MlflowClient, model: str, entry: LedgerEntry) -> CachedVersion:
        """
        Return the version that *entry* names, from disk or else from MLflow.

        :raises ArtifactError: If its bytes are not those the ledger names.
        """
        key = cache_layout.cached_versions(model, entry.version, entry.artifact_sha256)
        if (found := self._intact(f"{key}.json")) is not None:
            return found
        version = client.get_model_version(model, entry.version)
        model_id = mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID)
        files = {}
        with tempfile.TemporaryDirectory() as folder:
            for name in FILES:
                data = download(client, model_id, name, folder=Path(folder)).read_bytes()
                files[name] = self.store.put(f"{key}/{name}", data)
        if files[ARTIFACT].sha256 != entry.artifact_sha256:
            raise ArtifactError(
                f"Version {entry.version} of {model} was changed in MLflow: found sha256 "
                f"{files[ARTIFACT].sha256[:12]}, the ledger says {entry.artifact_sha256[:12]}. It "
                "was not loaded."
            )
        kept = CachedVersion(version=entry.version, sha256=entry.artifact_sha256, files=files)
        put_document(self.store, f"{key}.json", kept)
        return kept

    def question(self, spec: ModelSpec, kept: CachedVersion) -> SmokeTest:
        """Return what a worker is asked to load."""
        folder = (self.store.root / kept.files[ARTIFACT].key).parent
        name = f"{spec.model} version {kept.version}"
        return SmokeTest(folder=folder, name=name, sha256=kept.sha256, spec=spec)

    def forget_others(self, model: str, keep: Iterable[CachedVersion]) -> None:
        """Remove every version of *model* but those in *keep*."""
        kept = {cache_layout.cached_versions(model, one.version, one.sha256) for one in keep}
        for key in self.store.list(cache_layout.cached_versions(model)):
            if not any(key.startswith((f"{one}/", f"{one}.json")) for one in kept):
                self.store.delete(key)

    def _intact(self, key: str) -> CachedVersion | None:
        try:
            found = load_document(self.store, key, CachedVersion)
            for ref in found.files.values():
                read_object(self.store, ref)
        except (FileNotFoundError, ArtifactError, ValueError):
            return None
        return found
