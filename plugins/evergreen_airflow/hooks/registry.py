"""Hook for the model registry."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from mlflow import MlflowClient


class ModelRegistryHook(BaseHook):
    """
    Connect to an MLflow tracking server and registry.

    The address stays on the client: the hook writes neither ``os.environ`` nor MLflow's global
    URI, so two registries can be used in one process.

    :param registry_conn_id: Connection whose host is the tracking URI, such as
        ``http://mlflow:5000``; ``{"ui_url": ...}`` in its extra is where people's browsers find it,
        if that is elsewhere.
    """

    conn_name_attr = "registry_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "generic"
    hook_name = "MLflow registry"

    def __init__(self, registry_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.registry_conn_id = registry_conn_id

    @cached_property
    def client(self) -> MlflowClient:
        """Return the client for this connection; it is built on first use."""
        from mlflow import MlflowClient  # heavy: seconds, and only workers need it

        host = self._connection.host
        if not host:
            raise ValueError(
                f"Connection {self.registry_conn_id!r} has no host. "
                "Set it to the MLflow tracking URI, such as http://mlflow:5000."
            )
        return MlflowClient(tracking_uri=host, registry_uri=host)

    @property
    def ui_url(self) -> str:
        """Return where people see MLflow's pages."""
        found = self._connection
        return str(found.extra_dejson.get("ui_url") or found.host or "")

    @cached_property
    def _connection(self) -> Connection:
        return self.get_connection(self.registry_conn_id)
