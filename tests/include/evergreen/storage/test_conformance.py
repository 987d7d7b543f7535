"""The doctor finds what a store lacks, and leaves nothing behind."""

from __future__ import annotations

import time

import pytest
from tests.support.s3 import bucket_at

from evergreen.storage.conformance import examine, is_fit
from evergreen.storage.folder import FolderStore


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, s3):
    if request.param == "folder":
        return FolderStore(tmp_path)
    return bucket_at(s3, "examined")


def test_a_good_store_is_fit_and_as_empty_as_before(store):
    found = examine(store)

    assert is_fit(found), [one.message for one in found if one.answer == "no"]
    assert list(store.list("")) == []
    assert list(store.unfinished()) == []


class Racy(FolderStore):
    def put_if_absent(self, key, data):
        if self.head(key) is not None:
            return False
        time.sleep(0.01)  # long enough for another writer, however busy the machine is
        self.put(key, data)
        return True


class Stale(FolderStore):
    def list(self, prefix):
        return iter(list(super().list(prefix))[:10])


class Deaf(FolderStore):
    def put_if_absent(self, key, data):
        self.put(key, data)
        return True


@pytest.mark.parametrize(
    ("kind", "question"),
    [(Racy, "8 writers at once"), (Stale, "a listing is complete"), (Deaf, "who writes second")],
)
def test_a_store_that_does_not_keep_its_word_is_found_out(kind, question, tmp_path):
    found = examine(kind(tmp_path))

    assert not is_fit(found)
    assert any(question in one.name and one.answer == "no" and one.message for one in found)
