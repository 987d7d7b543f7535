"""What only a folder has to prove: processes of one machine, and a write that dies."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from evergreen.storage.folder import FolderStore


def _race(root, data, wins):
    wins.put(FolderStore(root).put_if_absent("k", data))


def test_of_many_processes_one_wins(tmp_path):
    wins = multiprocessing.get_context("fork").SimpleQueue()
    racers = [
        multiprocessing.get_context("fork").Process(target=_race, args=(tmp_path, b"%d" % n, wins))
        for n in range(8)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sum(wins.get() for _ in racers) == 1


def test_a_write_that_dies_leaves_nothing_to_see(tmp_path, monkeypatch):
    """The last step is a rename, so whatever fails before it is invisible."""

    def die(*_):
        raise KeyboardInterrupt

    store = FolderStore(tmp_path)
    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        store.put("a/b", b"half")

    assert store.head("a/b") is None
    assert list(store.list("")) == []
