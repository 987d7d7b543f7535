"""What every stage operator shares: where its model, store and registry are, and how it ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from evergreen.spec import ModelSpec, load_spec
from evergreen.storage.base import ObjectStore
from evergreen.values import Frozen
from evergreen.workspace import Workspace
from evergreen_airflow.hooks.registry import ModelRegistryHook
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.task import airflow_task

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context
    from mlflow import MlflowClient


class ModelOperator(BaseOperator):
    """
    Know one model: its spec, where its objects are, and where its versions are.

    :param model: Name of the model; everything else is in its spec. (templated)
    :param store_conn_id: Connection to the object store.
    :param registry_conn_id: Connection to MLflow.
    """

    template_fields: Sequence[str] = ("model",)

    def __init__(
        self,
        *,
        model: str,
        store_conn_id: str = ObjectStoreHook.default_conn_name,
        registry_conn_id: str = ModelRegistryHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.store_conn_id = store_conn_id
        self.registry_conn_id = registry_conn_id

    @cached_property
    def spec(self) -> ModelSpec:
        """Return the model's spec, read on the worker."""
        return load_spec(self.model)

    @cached_property
    def store(self) -> ObjectStore:
        """Return the object store, opened on the worker."""
        return ObjectStoreHook(self.store_conn_id).store

    @cached_property
    def _registry(self) -> ModelRegistryHook:
        return ModelRegistryHook(self.registry_conn_id)

    @property
    def client(self) -> MlflowClient:
        """Return the client of the registry, built on the worker."""
        return self._registry.client

    @property
    def workspace(self) -> Workspace:
        """Return what the core works with."""
        return Workspace(self.store, self.client, self.spec)

    def task(self, context: Context) -> AbstractContextManager[None]:
        """Return what every task does around its work."""
        return airflow_task(self, context, model=self.model, store=lambda: self.store)

    @property
    def registry_url(self) -> str:
        """Return where people see the registry's pages."""
        return self._registry.ui_url


class StageOperator(ModelOperator):
    """
    Run one stage of one model and hand on its receipt.

    A subclass stores the receipts it needs and implements :meth:`run_stage`.
    """

    #: What the stage returned; None before, and if it failed.
    receipt: Frozen | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the stage and return its receipt as plain JSON values."""
        with self.task(context):
            self.receipt = self.run_stage(context)
        return self.receipt.model_dump(mode="json")

    def get_openlineage_facets_on_complete(
        self, task_instance: object
    ) -> OperatorLineage[Any, Any]:
        """Return what the stage read and wrote; called by Airflow's OpenLineage provider."""
        from evergreen_airflow.lineage import lineage_of  # needs that provider

        return lineage_of(
            [getattr(self, name) for name in self.template_fields],
            self.receipt,
            spec=self.spec,
            store=self.store,
            registry=self.registry_url,
        )

    @abstractmethod
    def run_stage(self, context: Context) -> Frozen:
        """Parse the receipts, call the core, log its result, return its receipt."""
