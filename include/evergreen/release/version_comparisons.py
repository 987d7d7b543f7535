"""
Compare what a version was made with, and how long it takes, with the versions before it.

Nothing here holds a version back: the log and the evidence say what changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from statistics import median
from typing import TYPE_CHECKING

from evergreen.errors import ArtifactError
from evergreen.receipts.comparisons import (
    ComputeMeasure,
    DependencyChange,
    DependencyComparison,
    VersionComparisons,
)
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import load_identity
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

#: Earlier versions whose median a version is compared with.
COMPARED_VERSIONS = 5
#: Times the median that counts as a regression: times on a shared machine scatter.
MAX_SLOWDOWN = 2.0
#: The tag of each measured time on a version in MLflow, by what it measures.
COMPUTE_TAGS = {
    "training, per row": mlflow_registry.TAG_FIT_MS,
    "prediction, per row": mlflow_registry.TAG_PREDICT_MS,
    "prediction, per call": mlflow_registry.TAG_CALL_MS,
}


def compute_tags(evaluation: EvaluationReceipt) -> dict[str, str]:
    """Return the measured times of the challenger in milliseconds, by the tags that keep them."""
    made = evaluation.challenger
    fit = None
    if made.fit_seconds is not None and made.train_rows:
        fit = 1000 * made.fit_seconds / made.train_rows
    times = (fit, evaluation.predict_ms_per_row, evaluation.predict_ms_per_call)
    return {
        tag: f"{time:.9f}"
        for tag, time in zip(COMPUTE_TAGS.values(), times, strict=True)
        if time is not None
    }


def compare_version(
    workspace: Workspace,
    version: ModelVersion,
    *,
    identity: VersionIdentity,
    evaluation: EvaluationReceipt,
) -> VersionComparisons:
    """Return *version* beside the champion it was compared with and the versions before it."""
    found = VersionComparisons(
        dependencies=_dependencies(workspace, identity, evaluation.champion_version),
        compute=tuple(_compute(workspace, version)),
    )
    for change in found.dependencies.changes if found.dependencies else ():
        log.warning("dependency changed since the champion was made: %s", change.text)
    for measure in found.compute:
        if measure.has_regressed:
            log.warning("slower than before: %s", measure.text)
    return found


def changed_dependencies(
    before: Mapping[str, str], now: Mapping[str, str]
) -> tuple[DependencyChange, ...]:
    """Return the distributions whose version differs between two environments, by name."""
    return tuple(
        DependencyChange(name=name, before=before.get(name), now=now.get(name))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    )


def _dependencies(
    workspace: Workspace, identity: VersionIdentity, champion_version: str | None
) -> DependencyComparison | None:
    if champion_version is None:
        return None
    model = workspace.spec.model
    champion = mlflow_registry.find_version(workspace.client, model, champion_version)
    try:
        before = load_identity(workspace.store, champion).environment if champion else {}
    except ArtifactError as error:
        log.warning("The champion's libraries are not known. %s", error)
        return None
    if not before:
        return None
    return DependencyComparison(
        champion_version=champion_version,
        compared=len({*before, *identity.environment}),
        changes=changed_dependencies(before, identity.environment),
    )


def _compute(workspace: Workspace, version: ModelVersion) -> Iterator[ComputeMeasure]:
    number = int(version.version)
    versions = mlflow_registry.all_versions(workspace.client, workspace.spec.model)
    earlier = [one for one in versions if int(one.version) < number]
    for name, tag in COMPUTE_TAGS.items():
        if tag not in version.tags:
            continue
        times = [float(one.tags[tag]) for one in earlier if tag in one.tags][-COMPARED_VERSIONS:]
        yield ComputeMeasure(
            name=name,
            now=float(version.tags[tag]),
            usual=median(times) if times else None,
            versions=len(times),
            limit=MAX_SLOWDOWN,
        )
