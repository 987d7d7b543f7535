"""What every stage of one model works with: its objects, its versions and its spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Workspace:
    """
    One model in one environment.

    :param store: Where its objects are.
    :param client: The MLflow server that has its runs and versions.
    :param spec: What ``model.yaml`` says.
    """

    store: ObjectStore
    client: MlflowClient
    spec: ModelSpec
