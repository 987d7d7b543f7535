"""Hook for the object store."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from evergreen.storage.base import ObjectStore
from evergreen.storage.opening import open_store

if TYPE_CHECKING:
    from airflow.sdk import Connection


class ObjectStoreHook(BaseHook):
    """
    Open the object store that a connection names.

    :param store_conn_id: Connection with ``{"uri": "file:///srv/evergreen"}`` as its extra; or an
        AWS connection with ``{"uri": "s3://bucket/prefix"}`` beside what Airflow's AWS provider
        reads: keys or a role, ``region_name``, ``endpoint_url``.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "object_store_default"
    conn_type = "generic"
    hook_name = "Evergreen object store"

    def __init__(self, store_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.store_conn_id = store_conn_id

    @cached_property
    def store(self) -> ObjectStore:
        """Return the store; opened on first use, on the worker."""
        return store_of(self.get_connection(self.store_conn_id))


def store_of(connection: Connection) -> ObjectStore:
    """
    Return the store that *connection* names.

    :raises ValueError: If it names none.
    """
    uri = connection.extra_dejson.get("uri")
    if not uri:
        raise ValueError(
            f"Connection {connection.conn_id!r} names no store. Set its extra to "
            '{"uri": "file:///absolute/folder"}, or to {"uri": "s3://bucket/prefix"} in an AWS '
            "connection."
        )
    if connection.conn_type == "aws":
        return _bucket_of(connection, uri)
    return open_store(uri)


def _bucket_of(connection: Connection, uri: str) -> ObjectStore:
    # Half a second, and only for those who have a bucket.
    from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper

    from evergreen.storage.s3 import CONFIG, BucketStore

    known = AwsConnectionWrapper(conn=connection)
    session = BaseSessionFactory(conn=known).create_session()
    client = session.client(
        "s3",
        endpoint_url=known.get_service_endpoint_url("s3"),
        verify=known.verify,
        config=CONFIG.merge(known.botocore_config) if known.botocore_config else CONFIG,
    )
    return BucketStore(uri, client)
