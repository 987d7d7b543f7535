"""A bucket behind a bad line, and errors that say what to do; a real server that speaks S3."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from tests.support.s3 import BadLine, bucket_at, client_of

from evergreen.errors import ArtifactError
from evergreen.storage.s3 import BucketStore

PART = 5 * 1024 * 1024


@pytest.fixture
def line(s3):
    found = BadLine(s3)
    yield found
    found.close()


@pytest.fixture
def store(line, request) -> BucketStore:
    return bucket_at(line.url, f"bucket-{abs(hash(request.node.nodeid))}", part_bytes=PART)


def test_one_of_many_writers_at_once_is_first(s3):
    """Threads that alternate as often as they can; moto alone lets two win in some rounds."""
    store, interval = bucket_at(s3, "race"), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for n in range(40):
                tries = [pool.submit(store.put_if_absent, f"k{n}", b"data") for _ in range(8)]
                assert [one.result() for one in tries].count(True) == 1
    finally:
        sys.setswitchinterval(interval)


def test_a_write_whose_answer_is_lost_is_known_as_ones_own(store, line):
    """The repeated request is refused, for the object is there: written by this very call."""
    line.spoil = [("PUT", "lost")]

    assert store.put_if_absent("k", b"one") is True

    assert line.seen.count("PUT") >= 2
    assert store.put_if_absent("k", b"one") is False


def test_an_answer_that_is_cut_short_is_asked_for_again(store, line):
    store.put("k", b"0123456789" * 100)
    line.spoil = [("GET", "cut"), ("GET", "cut")]

    assert store.get("k") == b"0123456789" * 100


def test_the_page_of_a_proxy_is_no_object(store, line):
    store.put("k", b"data")
    line.spoil = [("GET", "page")]

    assert store.get("k") == b"data"


def test_bytes_that_stay_wrong_are_refused(store, line):
    store.put("k", b"data")
    line.spoil = [("GET", "page")] * 20

    with pytest.raises(ArtifactError, match="Nothing was read from it"):
        store.get("k")


def test_a_part_that_fails_leaves_nothing(store, monkeypatch):
    real = store._client.upload_part

    def fail(**request):
        if request["PartNumber"] == 2:
            raise ClientError({"Error": {"Code": "500"}}, "UploadPart")
        return real(**request)

    monkeypatch.setattr(store._client, "upload_part", fail)
    with pytest.raises(ClientError):
        store.put("big", os.urandom(PART + 1))

    assert store.head("big") is None
    assert list(store.unfinished()) == []


def test_what_a_killed_writer_left_is_listed_and_removed(store):
    store._client.create_multipart_upload(Bucket=store.bucket, Key="dev/half")

    (left,) = store.unfinished()
    store.discard(left[0])

    assert left[0].startswith("half?")
    assert list(store.unfinished()) == []
    store.discard(left[0])  # gone already


def test_an_unfinished_write_without_a_time_is_left_alone(store, monkeypatch):
    """SeaweedFS lists them so; it could be a write that is still under way."""
    pages = [{"Uploads": [{"Key": "dev/half", "UploadId": "u"}]}]
    monkeypatch.setattr(store, "_pages", lambda *_: pages)

    assert list(store.unfinished()) == []


def test_a_prefix_sees_nothing_of_its_neighbour(s3):
    one, other = bucket_at(s3, "shared", "dev"), bucket_at(s3, "shared", "dev2")
    other.put("k", b"x")

    assert list(one.list("")) == []
    assert one.head("k") is None
    assert one.uri == "s3://shared/dev"
    assert one.url("k") == "s3://shared/dev/k"


def test_a_bucket_that_is_not_there_says_so(s3):
    with pytest.raises(ValueError, match=r"no bucket 'never-made'\. Create it"):
        BucketStore("s3://never-made/x", client_of(s3)).put("k", b"x")


def test_nobody_who_answers_says_where_to_look(network, monkeypatch):
    from botocore.config import Config

    monkeypatch.setattr("tests.support.s3.CONFIG", Config(retries={"max_attempts": 1}))
    store = BucketStore("s3://bucket/x", client_of("http://127.0.0.1:9"))

    with pytest.raises(ConnectionError, match="endpoint_url of the connection"):
        store.get("k")


def test_a_refused_key_says_which_rights_it_needs(store, monkeypatch):
    """moto refuses nobody, so the answer is made here as S3 words it."""

    def refuse(**_):
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    monkeypatch.setattr(store._client, "get_object", refuse)
    with pytest.raises(PermissionError, match="needs GetObject, PutObject"):
        store.get("k")
