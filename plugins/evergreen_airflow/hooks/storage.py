"""Hook for the object store."""

from __future__ import annotations

from functools import cached_property

from airflow.sdk import BaseHook

from evergreen.storage import ObjectStore, open_store


class ObjectStoreHook(BaseHook):
    """
    Open the object store that a connection names.

    :param store_conn_id: Connection with ``{"uri": "file:///srv/evergreen"}`` as its extra.
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
        uri = self.get_connection(self.store_conn_id).extra_dejson.get("uri")
        if not uri:
            raise ValueError(
                f"Connection {self.store_conn_id!r} names no store. Set its extra to "
                '{"uri": "file:///absolute/folder"}.'
            )
        return open_store(uri)
