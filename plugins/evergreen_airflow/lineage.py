"""
What a stage read and wrote, for OpenLineage; used only where Airflow's provider is installed.

A dataset is a folder of the store (``raw/flights``, ``examples/flight_delay``) or a model in the
registry. Which object of it, or which version, is the dataset's version, so that the graph stays
the same every night and still says what was read on this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    data_quality_assertions_dataset,
    dataset_version_dataset,
    output_statistics_output_dataset,
)
from pydantic import JsonValue

from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import ScoringReceipt, ValidationReceipt
from evergreen.receipts.monitoring import DetectionReceipt, StalenessReceipt
from evergreen.receipts.release import DeploymentReceipt, RegistrationReceipt, RollbackReceipt
from evergreen.spec import ModelSpec
from evergreen.storage.base import ObjectStore
from evergreen.values import Frozen

#: Receipts whose version was made or moved, and receipts whose version was looked at.
WRITES_VERSION = (RegistrationReceipt, DeploymentReceipt, RollbackReceipt)
READS_VERSION = (ScoringReceipt, DetectionReceipt, StalenessReceipt)


def lineage_of(
    given: list[Any], receipt: Frozen | None, *, spec: ModelSpec, store: ObjectStore, registry: str
) -> OperatorLineage[Dataset, Any]:
    """
    Return the datasets of a stage: what is in the receipts it was given, and in the one it returns.

    :param given: The templated arguments of the stage.
    :param receipt: What it returned; None if it failed, and then there are inputs only.
    :param registry: Address of MLflow, as people open it.
    """
    uri = store.url("x").removesuffix("/x")
    model = (registry.rstrip("/"), f"models/{spec.model}")
    inputs: list[Dataset] = [_read(uri, ref) for ref in refs_in(given)]
    outputs: list[Dataset] = []
    if isinstance(receipt, ValidationReceipt):
        inputs += _raw_tables(uri, spec, receipt)
    if receipt is not None:
        outputs += [_written(uri, ref, receipt) for ref in refs_in(receipt.model_dump())]
    if isinstance(receipt, READS_VERSION):
        inputs.append(InputDataset(*model, facets=_version(receipt.version)))
    if isinstance(receipt, WRITES_VERSION):
        outputs.append(OutputDataset(*model, facets=_version(receipt.version)))
    return OperatorLineage(inputs=inputs, outputs=outputs)


def refs_in(value: JsonValue | list[JsonValue]) -> Iterator[ObjectRef]:
    """Yield every reference to an object within receipts, as plain JSON values."""
    if isinstance(value, dict):
        if set(value) == set(ObjectRef.model_fields):
            yield ObjectRef.model_validate(value)
        else:
            for inner in value.values():
                yield from refs_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from refs_in(inner)


def _place(store: str, folder: str) -> tuple[str, str]:
    """Return namespace and name by OpenLineage's naming: ``s3://bucket`` and key, or ``file``."""
    parts = urlsplit(f"{store}/{folder}")
    if parts.scheme == "file":
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")


def _version(name: str) -> dict[str, DatasetFacet]:
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=name)}


def _folder(key: str) -> str:
    """Return what an object is one of: the kind and the model, not the day."""
    return "/".join(key.split("/")[:2])


def _read(store: str, ref: ObjectRef) -> InputDataset:
    return InputDataset(*_place(store, _folder(ref.key)), facets=_version(ref.sha256))


def _written(store: str, ref: ObjectRef, receipt: Frozen) -> OutputDataset:
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=getattr(receipt, "rows", None), size=ref.size, fileCount=1
    )
    return OutputDataset(
        *_place(store, _folder(ref.key)),
        facets=_version(ref.sha256),
        outputFacets={"outputStatistics": statistics},
    )


def _raw_tables(store: str, spec: ModelSpec, receipt: ValidationReceipt) -> Iterator[InputDataset]:
    """Yield the raw tables, each with the checks of its contract."""
    for name, table in spec.raw_tables.items():
        held = [
            data_quality_assertions_dataset.Assertion(
                assertion=check.name.removeprefix(f"{name}: "), success=check.status == "passed"
            )
            for check in receipt.checks
            if check.name.startswith(f"{name}: ")
        ]
        facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=held)
        yield InputDataset(
            *_place(store, table.path.rpartition("/")[0]),
            inputFacets={"dataQualityAssertions": facet},
        )
