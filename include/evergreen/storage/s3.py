"""
The object store in a bucket, through any server that speaks S3.

An answer can get lost, so every write is signed: a repeated write that finds its own object counts
as done. What the server promises beyond the protocol is asked by
:mod:`evergreen.storage.conformance`.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from typing_extensions import override

from evergreen.errors import ArtifactError
from evergreen.keys import checked_key
from evergreen.receipts.common import ObjectRef
from evergreen.storage.base import ByteCounts, ObjectHead, ObjectStore, ref_of, sha256_of
from evergreen.storage.s3_requests import GONE, BucketRequests, code_of


class _UnderWayError(Exception):
    """The server asks to try again, for another write of the key is not done."""


class _OtherBytesError(ArtifactError):
    """The bytes that arrived are not those that were written."""


#: boto3 gives up after three tries in 1.6 s by default (FACTS, "Storage").
CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 10}, connect_timeout=10, read_timeout=60
)
#: Objects above this many bytes are sent in parts of it; none is seen before the last has come.
PART_BYTES = 16 * 1024 * 1024
#: What boto3 does not try again itself: an answer that ends or breaks while it is read.
BROKEN_ANSWERS = (
    IncompleteReadError,
    ResponseStreamingError,
    ReadTimeoutError,
    ConnectionClosedError,
    FlexibleChecksumError,
    ConnectionResetError,
    _OtherBytesError,
)
READ_ATTEMPTS = 6
#: Names of our notes on an object: its digest, and the one write that made it.
SHA256, WRITER = "evergreen-sha256", "evergreen-writer"
TAKEN = frozenset({"412", "PreconditionFailed"})
#: Another conditional write of the same key is under way; S3 asks to try again.
CONFLICT = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})


class BucketStore(ObjectStore):
    """
    An object store below a prefix of a bucket.

    :param uri: ``s3://bucket`` or ``s3://bucket/prefix``.
    :param client: boto3's; without one, made from the environment (``AWS_*`` variables, profiles,
        roles; ``AWS_ENDPOINT_URL_S3`` for a server of one's own).
    :param part_bytes: Objects above this size are sent in parts; at least 5 MiB, by the protocol.
    :param page_keys: Keys that one listing request may bring, at most 1,000, by the protocol.
    :raises ValueError: If *uri* names no bucket.
    """

    def __init__(
        self,
        uri: str,
        client: Any = None,
        *,
        part_bytes: int = PART_BYTES,
        page_keys: int = 1000,
    ) -> None:
        parts = urlsplit(uri)
        prefix = parts.path.strip("/")
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                f"{uri!r} names no bucket. Expected s3://bucket or s3://bucket/prefix."
            )
        if prefix:
            checked_key(prefix)
        self.bucket = parts.netloc
        self.uri = f"s3://{self.bucket}/{prefix}".rstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client or _client_of_environment()
        self._requests = BucketRequests(
            self._client, bucket=self.bucket, prefix=self._prefix, uri=self.uri
        )
        self._part_bytes, self._page_keys = part_bytes, page_keys
        self.traffic = ByteCounts()

    @override
    def head(self, key: str) -> ObjectHead | None:
        found = self._head(checked_key(key))
        return _head_of(found["ContentLength"], found) if found else None

    @override
    def get(self, key: str) -> bytes:
        """
        Return the bytes of *key*.

        What we wrote ourselves is held against the digest it was written with, and read again if
        it differs: a proxy may answer for the server (FACTS, "Storage").
        """
        checked_key(key)
        again = Retrying(
            retry=retry_if_exception_type(BROKEN_ANSWERS),
            stop=stop_after_attempt(READ_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=10),
            reraise=True,
        )
        return again(self._get, key)

    @override
    def put(self, key: str, data: bytes) -> ObjectRef:
        self._put(checked_key(key), data)
        return ref_of(key, data)

    @override
    def put_if_absent(self, key: str, data: bytes) -> bool:
        writer = uuid.uuid4().hex
        # Asked first, because sending a large object for nothing is the dearer mistake.
        if self._head(checked_key(key)) is not None:
            return False
        again = Retrying(
            retry=retry_if_exception_type(_UnderWayError),
            stop=stop_after_attempt(READ_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            reraise=True,
        )
        return again(self._put_if_absent, key, data, writer)

    @override
    def delete(self, key: str) -> None:
        self._requests.call("delete_object", checked_key(key))

    @override
    def list(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.heads(prefix))

    @override
    def heads(self, prefix: str) -> Iterator[tuple[str, ObjectHead]]:
        if prefix:
            checked_key(prefix.rstrip("/"))
        for page in self._pages("list_objects_v2", prefix):
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(self._prefix), _head_of(found["Size"], found)

    @override
    def unfinished(self) -> Iterator[tuple[str, datetime]]:
        """Leave out an upload without a time: it could be one that is still written."""
        for page in self._pages("list_multipart_uploads", ""):
            for found in page.get("Uploads", ()):
                key = found["Key"].removeprefix(self._prefix)
                if (begun := found.get("Initiated")) is not None:  # SeaweedFS leaves it out
                    yield f"{key}?{found['UploadId']}", begun

    @override
    def discard(self, name: str) -> None:
        key, _, upload = name.partition("?")
        self._requests.abort(checked_key(key), upload)

    @override
    def url(self, key: str) -> str:
        return f"{self.uri}/{checked_key(key)}"

    def make_bucket(self) -> None:
        """Make the bucket unless it exists already and is ours."""
        try:
            self._client.create_bucket(Bucket=self.bucket)
        except ClientError as error:
            if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
            self._client.head_bucket(Bucket=self.bucket)  # refused if it is somebody else's

    def is_blind_to_damage(self, key: str) -> str | None:
        """Write with a wrong digest; return the server's wrong answer, or None."""
        wrong = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
        try:
            self._requests.call("put_object", key, Body=b"bytes", ChecksumSHA256=wrong)
        except ClientError:
            return None
        return "bytes with another digest than they were sent with were taken"

    def _get(self, key: str) -> bytes:
        try:
            found = self._requests.call("get_object", key)
        except ClientError as error:
            if code_of(error) in GONE:
                raise FileNotFoundError(f"no {key} in {self.uri}") from None
            raise
        data: bytes = found["Body"].read()
        self.traffic.read += len(data)
        promised = found["Metadata"].get(SHA256)
        if promised and sha256_of(data) != promised:
            raise _OtherBytesError(
                f"{key} in {self.uri} came as {len(data)} bytes with sha256 "
                f"{sha256_of(data)[:12]}, and was written with {promised[:12]}. Nothing was read "
                "from it. Restore it from a backup, or delete it and clear the task that made it."
            )
        return data

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            return self._requests.call("head_object", key)
        except ClientError as error:
            if code_of(error) in GONE:
                return None
            raise

    def _put_if_absent(self, key: str, data: bytes, writer: str) -> bool:
        try:
            self._put(key, data, writer=writer, IfNoneMatch="*")
        except ClientError as error:
            if code_of(error) in CONFLICT:
                raise _UnderWayError(str(error)) from error
            if code_of(error) not in TAKEN:
                raise
            # Ours, if the answer to an earlier try of boto3's was lost.
            found = self._head(key)
            return found is not None and found["Metadata"].get(WRITER) == writer
        return True

    def _put(self, key: str, data: bytes, *, writer: str = "", **condition: str) -> None:
        self.traffic.written += len(data)
        notes = {SHA256: sha256_of(data), **({WRITER: writer} if writer else {})}
        if len(data) <= self._part_bytes:
            self._requests.call(
                "put_object",
                key,
                Body=data,
                Metadata=notes,
                ChecksumAlgorithm="SHA256",
                **condition,
            )
        else:
            self._requests.put_in_parts(
                key, data, part_bytes=self._part_bytes, notes=notes, condition=condition
            )

    def _pages(self, operation: str, prefix: str) -> Iterator[dict[str, Any]]:
        return self._requests.pages(operation, prefix, page_keys=self._page_keys)


def _client_of_environment() -> Any:
    import boto3

    return boto3.client("s3", config=CONFIG)


def _head_of(size: int, found: dict[str, Any]) -> ObjectHead:
    return ObjectHead(
        size=size, fingerprint=found["ETag"].strip('"'), written_at=found["LastModified"]
    )
