"""Requests to one bucket, through any server that speaks S3; their errors say what to do."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

GONE = frozenset({"404", "NoSuchKey", "NotFound"})
NOT_THERE = frozenset({"501", "NotImplemented"})
REFUSED = frozenset(
    {
        "401",
        "403",
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
    }
)


class BucketRequests:
    """
    Requests about the objects below a prefix of a bucket.

    :param client: boto3's.
    :param bucket: Its name.
    :param prefix: Put before every key; empty, or ending with a slash.
    :param uri: Names bucket and prefix in errors.
    """

    def __init__(self, client: Any, *, bucket: str, prefix: str, uri: str) -> None:
        self.client, self.bucket, self.prefix, self.uri = client, bucket, prefix, uri

    def call(self, operation: str, key: str, **more: Any) -> dict[str, Any]:
        """
        Return the answer to *operation* on *key*.

        :param more: Further arguments of boto3's method of that name.
        :raises ConnectionError: If no server answers.
        :raises PermissionError: If the server refuses the request.
        :raises ValueError: If there is no such bucket.
        :raises NotImplementedError: If the server lacks the operation.
        :raises ClientError: For any other error that the server names.
        """
        try:
            found: dict[str, Any] = getattr(self.client, operation)(
                Bucket=self.bucket, Key=self.prefix + key, **more
            )
        except (ClientError, EndpointConnectionError) as error:
            raise self._explained(error) from error
        return found

    def pages(self, operation: str, prefix: str, *, page_keys: int) -> Iterator[dict[str, Any]]:
        """
        Yield every answer to the listing *operation*, raising as :meth:`call` does.

        :param prefix: What the listed keys begin with, below the bucket's own prefix.
        :param page_keys: Keys that one request may bring.
        """
        pages = self.client.get_paginator(operation).paginate(
            Bucket=self.bucket,
            Prefix=self.prefix + prefix,
            PaginationConfig={"PageSize": page_keys},
        )
        try:
            yield from pages
        except (ClientError, EndpointConnectionError) as error:
            raise self._explained(error) from error

    def put_in_parts(
        self,
        key: str,
        data: bytes,
        *,
        part_bytes: int,
        notes: Mapping[str, str],
        condition: Mapping[str, str],
    ) -> None:
        """
        Send *data* in parts; boto3's own transfer cannot make the last step conditional.

        No part is left behind if one fails.

        :param part_bytes: Bytes of each part but the last.
        :param notes: What is noted on the object.
        :param condition: Arguments of the last step that say when the object may be written.
        """
        upload = self.call(
            "create_multipart_upload", key, Metadata=notes, ChecksumAlgorithm="SHA256"
        )["UploadId"]
        try:
            source = io.BytesIO(data)
            parts: list[dict[str, Any]] = []
            while chunk := source.read(part_bytes):
                number = len(parts) + 1
                sent = self.call(
                    "upload_part",
                    key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=chunk,
                    ChecksumAlgorithm="SHA256",
                )
                part = {"PartNumber": number, "ETag": sent["ETag"]}
                if "ChecksumSHA256" in sent:
                    part["ChecksumSHA256"] = sent["ChecksumSHA256"]
                parts.append(part)
            self.call(
                "complete_multipart_upload",
                key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **condition,
            )
        except BaseException:
            self.abort(key, upload)
            raise

    def abort(self, key: str, upload: str) -> None:
        """Remove the parts of an *upload* of *key*; one that is gone is no error."""
        try:
            self.call("abort_multipart_upload", key, UploadId=upload)
        except ClientError as error:
            if code_of(error) not in ("NoSuchUpload", *GONE):
                raise

    def _explained(self, error: Exception) -> Exception:
        """Return *error*, or one that says what to do where a person has to."""
        if isinstance(error, EndpointConnectionError):
            return ConnectionError(
                f"Nobody answers for {self.uri}: {error}. Look whether the store runs, and at "
                "endpoint_url of the connection (or AWS_ENDPOINT_URL_S3)."
            )
        code = code_of(error) if isinstance(error, ClientError) else ""
        if code in REFUSED:
            return PermissionError(
                f"{self.uri} refused the request ({code}). The key needs GetObject, PutObject, "
                "DeleteObject, ListBucket, AbortMultipartUpload and ListBucketMultipartUploads on "
                "bucket and prefix; see login, password or role of the connection."
            )
        if code == "NoSuchBucket":
            return ValueError(
                f"There is no bucket {self.bucket!r}. Create it; nothing was written."
            )
        if code in NOT_THERE:
            return NotImplementedError(
                f"The server of {self.uri} lacks what is asked of it: {error}. `make doctor` lists "
                "what a store must do."
            )
        return error


def code_of(error: ClientError) -> str:
    """Return what the server calls *error*; empty if it has no name."""
    return str(error.response.get("Error", {}).get("Code", ""))
