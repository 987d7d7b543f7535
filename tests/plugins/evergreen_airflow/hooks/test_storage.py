"""A connection of Airflow's opens a folder or a bucket, with the keys and endpoint it names."""

from __future__ import annotations

import json

import pytest
from tests.support.s3 import bucket_at

from evergreen_airflow.hooks.storage import ObjectStoreHook


@pytest.fixture
def opened(monkeypatch):
    def of(**connection):
        monkeypatch.setenv("AIRFLOW_CONN_SOMEWHERE", json.dumps(connection))
        return ObjectStoreHook("somewhere").store

    return of


def test_a_folder(opened, tmp_path):
    store = opened(conn_type="generic", extra={"uri": tmp_path.as_uri()})

    store.put("k", b"x")
    assert (tmp_path / "k").read_bytes() == b"x"


def test_a_bucket_by_airflows_aws_connection(opened, s3):
    there = bucket_at(s3, "by-connection", "night")

    store = opened(
        conn_type="aws",
        login="key",
        password="secret",
        extra={"uri": there.uri, "endpoint_url": s3, "region_name": "us-east-1"},
    )

    store.put("k", b"x")
    assert there.get("k") == b"x"
    assert store.uri == "s3://by-connection/night"


@pytest.mark.parametrize("kind", ["generic", "aws"])
def test_a_connection_without_a_place_says_what_to_set(opened, kind):
    with pytest.raises(ValueError, match=r'Set its extra to \{"uri": "file:///absolute/folder"\}'):
        opened(conn_type=kind, extra={"region_name": "us-east-1"})
