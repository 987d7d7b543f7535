"""
Read every stored record of a model: what is damaged, and which objects the records name.

Records are JSON. Tables and pages are named by their content, and whatever needs them names them
with their digest and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from evergreen.data.prepared_days import PreparedDay
from evergreen.errors import ArtifactError, EvergreenError
from evergreen.modeling.false_promotions import EvaluationLevel
from evergreen.modeling.sanity import Sanity
from evergreen.monitoring.drift_day_report import DayReport
from evergreen.monitoring.drift_samples import DayDistances, DaySummary
from evergreen.monitoring.health import HealthPage
from evergreen.monitoring.label_join import JoinedDay
from evergreen.monitoring.service_levels import DayOfRequests
from evergreen.receipts.ci import CiReceipt
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.data import DayVerdict, PredictionsManifest
from evergreen.receipts.modeling import CandidateReceipt, EvaluationDetails, EvaluationReceipt
from evergreen.receipts.monitoring import (
    DriftReceipt,
    QualityWindow,
    RetrainRequest,
    SkewReceipt,
)
from evergreen.receipts.operations import ReproductionReceipt
from evergreen.receipts.release import VersionIdentity
from evergreen.registry.ledger_entries import Checkpoint, WrittenEntry
from evergreen.release.decisions import RunDecision
from evergreen.reporting.evidence import EvidencePack
from evergreen.serving.observations import Heartbeat, Observation
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import find_document, name_by_content, parse_object
from evergreen.values import Frozen

#: The class of each record, by a pattern of what follows ``<kind>/<model>/``; the first one counts.
#: Without a class a record must lie under its own digest; a kind without records has no pattern.
RECORDS: Mapping[layout.Kind, Mapping[str, tuple[type[Frozen], ...]]] = {
    "backtests": {},
    "candidates": {"*.json": (CandidateReceipt,)},
    "ci": {"*.json": (CiReceipt,)},
    "decisions": {"*.json": (RunDecision,)},
    "distances": {"*.json": (DaySummary, DayDistances)},
    "doctor": {},
    "evaluation_levels": {"*.json": (EvaluationLevel,)},
    "evaluations": {
        "*/sanity.json": (Sanity,),
        "*/against-*/*.json": (EvaluationDetails,),
        "*/against-*.json": (EvaluationReceipt,),
    },
    "evidence": {f"*/{layout.EVIDENCE_DATA}": (EvidencePack,)},
    "examples": {"windows/*.json": (), "*.json": (PreparedDay,)},
    "extractions": {},
    "housekeeping": {},
    "identities": {"*.json": (VersionIdentity,)},
    "ledger": {"*.json": (WrittenEntry,)},
    "ledger_checkpoints": {"*.json": (Checkpoint,)},
    "monitoring": {f"*/{layout.HEALTH_DATA}": (HealthPage,)},
    "predictions": {f"*/{layout.MANIFEST}": (PredictionsManifest,)},
    "quality": {"*/window-*.json": (QualityWindow,), "*/*.json": (JoinedDay,)},
    "quarantine": {},
    "reports": {"monitor/*.json": (DayReport,), "*.json": (DriftReceipt,)},
    "reproductions": {"*.json": (ReproductionReceipt,)},
    "requests": {},
    "retrain_requests": {"*.json": (RetrainRequest,)},
    "rollouts": {"*.json": (Observation,)},
    "served": {},
    "servers": {"*.json": (Heartbeat,)},
    "service": {"*.json": (DayOfRequests,)},
    "skew": {"*.json": (SkewReceipt,)},
    "validation": {"windows/*.json": (), "*.json": (DayVerdict,)},
}
#: Kinds that have checks of their own.
CHECKED_APART: tuple[layout.Kind, ...] = ("doctor", "ledger", "ledger_checkpoints")
#: Kinds whose objects are empty: what they say is their key.
WITHOUT_CONTENT: tuple[layout.Kind, ...] = ("extractions",)
#: Kinds whose keys name no model.
OF_ALL_MODELS: tuple[layout.Kind, ...] = ("ci", "servers")
#: How the names of objects end; whatever ends differently was not written by Evergreen.
SUFFIXES = (".json", ".parquet", ".html", ".csv", ".png", ".gz")


@dataclass(frozen=True, kw_only=True)
class RecordScan:
    """
    What the records of one model say.

    :param faults: One line per object that is damaged or does not belong where it is.
    :param named: The objects that each record names, by the key of the record.
    :param sizes: The size of each object of the model in bytes, by key.
    """

    faults: list[str] = field(default_factory=list)
    named: dict[str, list[ObjectRef]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def scan_records(store: ObjectStore, model: str) -> RecordScan:
    """Read every record of *model*; a damaged one is a fault and never an error."""
    scan = RecordScan()
    for kind in RECORDS:
        prefix = f"{kind}/" if kind in OF_ALL_MODELS else layout.all_of(kind, model)
        for key, head in store.heads(prefix):
            scan.sizes[key] = head.size
            if kind not in (*CHECKED_APART, *WITHOUT_CONTENT):
                _scan_object(store, kind, key, prefix=prefix, scan=scan)
    return scan


def _scan_object(
    store: ObjectStore, kind: layout.Kind, key: str, *, prefix: str, scan: RecordScan
) -> None:
    if not key.endswith(SUFFIXES):
        scan.faults.append(f"{key} was not written by Evergreen; move it elsewhere")
        return
    if not key.endswith(".json"):
        return
    try:
        data = store.get(key)
        content = parse_object(data, key=key, uri=store.uri, expected="record")
        if PurePosixPath(key).name.partition(".")[0] != name_by_content(data):
            _require_record(store, kind, key, rest=key.removeprefix(prefix))
        scan.named[key] = list(named_objects(content))
    except FileNotFoundError:
        return  # retention or its writer was faster
    except EvergreenError as error:
        scan.faults.append(str(error))
    except ValueError as error:  # of a key or a reference that no writer writes
        scan.faults.append(f"{key}: {error}")


def _require_record(store: ObjectStore, kind: layout.Kind, key: str, *, rest: str) -> None:
    """
    Read the record under *key* as its class.

    :raises ArtifactError: If it is of none of the classes that belong there.
    """
    classes = next((c for p, c in RECORDS[kind].items() if fnmatchcase(rest, p)), ())
    errors = [error for one in classes if (error := _error_of(store, key, one)) is not None]
    if not classes or len(errors) == len(classes):
        raise (
            errors[0]
            if errors
            else ArtifactError(
                f"{key} in {store.uri} is no record of its kind: its name is not the digest of its "
                "content. Restore it from a backup, or move it elsewhere."
            )
        )
    if kind == "evaluation_levels":
        layout.parsed_level(key)


def _error_of(store: ObjectStore, key: str, kind: type[Frozen]) -> ArtifactError | None:
    try:
        find_document(store, key, kind)
    except ArtifactError as error:
        return error
    return None


def named_objects(content: Any) -> Iterator[ObjectRef]:
    """
    Yield every object that parsed JSON names by key, digest and size.

    :raises ValueError: If a reference is malformed.
    """
    left = [content]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict) and set(one) == set(ObjectRef.model_fields):
            try:
                yield ObjectRef.model_validate(one)
            except ValidationError:
                raise ValueError(f"names an object as {one!r:.200}") from None
        elif isinstance(one, dict):
            left += one.values()


def missing_objects(store: ObjectStore, scan: RecordScan) -> Iterator[str]:
    """
    Yield every object that a record names and that is gone or has another size.

    Sizes only: reading every byte of history would take ever longer. Rows in quarantine may be
    gone, because no work reads them and retention removes them by age.
    """
    seen: set[str] = set()
    for key, refs in scan.named.items():
        for ref in refs:
            if ref.key in seen:
                continue
            seen.add(ref.key)
            size = scan.sizes.get(ref.key)
            if size is None:
                size = _size_of(store, ref.key)
            if size is None and layout.kind_of(ref.key) != "quarantine":
                yield f"{key}: {ref.key} is gone"
            elif size is not None and size != ref.size:
                yield f"{key}: {ref.key} is cut"
        page = key.removesuffix(layout.EVIDENCE_DATA) + layout.EVIDENCE_PAGE
        if key.endswith(f"/{layout.EVIDENCE_DATA}") and page not in scan.sizes:
            yield f"{key}: {page} is gone"


def _size_of(store: ObjectStore, key: str) -> int | None:
    """Return the size of *key*; None if there is no such object, or it is no key."""
    try:
        head = store.head(key)
    except ValueError:
        return None
    return head.size if head else None
