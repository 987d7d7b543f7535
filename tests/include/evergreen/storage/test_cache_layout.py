"""Keys of a model server's own cache."""

from __future__ import annotations

from evergreen.keys import checked_key
from evergreen.storage.cache_layout import cached_champion, cached_versions


def test_every_key_can_be_stored_and_names_its_model():
    assert checked_key(cached_champion("m")) == "serving/m.json"
    assert cached_versions("m") == "versions/m/"
    assert checked_key(cached_versions("m", "7", "ab" * 32)) == "versions/m/7-abababababababab"
