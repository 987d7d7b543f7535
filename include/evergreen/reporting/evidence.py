"""
Everything a person needs to decide on one challenger, on one page: verdict first, then the reasons.

The pack is made once per evaluation and kept beside it. It holds aggregates only, no row of data,
and nothing in it can run: the page has no script, and every name and value is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Self

from pydantic import Field, JsonValue, model_validator

from evergreen.errors import ArtifactError
from evergreen.receipts.common import Check, StageReceipt, contradiction
from evergreen.receipts.comparisons import VersionComparisons
from evergreen.receipts.data import ValidationReceipt
from evergreen.receipts.modeling import (
    CandidateReceipt,
    EvaluationDetails,
    EvaluationReceipt,
    Importance,
)
from evergreen.receipts.monitoring import DriftReceipt
from evergreen.receipts.release import TestScore, VersionIdentity
from evergreen.reporting.charts import Chart, charts_of
from evergreen.reporting.ml_test_score import score_readiness
from evergreen.reporting.readiness import Readiness
from evergreen.reporting.templates import page_template
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import find_or_make, read_document
from evergreen.values import Frozen


class ModelCard(Frozen):
    """
    What the model is for, what it learnt from and where it ends.

    Mitchell et al., "Model Cards for Model Reporting", FAT* 2019; from the spec and the run.
    """

    intended_use: str
    owner: str
    tags: tuple[str, ...]
    label: str
    problem: str
    inputs: tuple[str, ...]
    days: dict[str, str]
    labelled: dict[str, int]
    classes: dict[str, dict[str, int]]
    limits: tuple[str, ...]


class EvidencePack(Frozen):
    """One evaluation of one challenger, with all that stands behind it."""

    model: str
    version: str
    as_of: datetime
    passed: bool
    missed: tuple[str, ...]
    metric: str
    champion_version: str | None
    test_rows: int
    gates: tuple[Check, ...]
    metrics: dict[str, dict[str, float | None]]
    challenger: CandidateReceipt
    candidates: tuple[CandidateReceipt, ...]
    failed_candidates: tuple[str, ...] = ()
    charts: tuple[Chart, ...]
    importances: tuple[Importance, ...]
    contract: ValidationReceipt
    drift: DriftReceipt
    stages: dict[str, StageReceipt] = Field(default_factory=dict)
    test_score: TestScore
    comparisons: VersionComparisons = VersionComparisons()
    identity: dict[str, JsonValue]
    card: ModelCard

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        gates = [gate.name for gate in self.gates if gate.status == "failed"]
        checks = [check for stage in self.stages.values() for check in stage.checks]
        derived = (*gates, *(check.name for check in checks if check.status != "passed"))
        if self.missed != derived:
            raise contradiction("missed", self.missed, derived, "gates and stages")
        if self.passed != (not derived):
            raise contradiction("passed", self.passed, not derived, "gates and stages")
        return self

    @property
    def verdict(self) -> str:
        """What the gates say, in a word."""
        return "PROMOTE" if self.passed else "HOLD"


def keep_evidence(
    store: ObjectStore,
    spec: ModelSpec,
    *,
    version: str,
    evaluation: EvaluationReceipt,
    identity: VersionIdentity,
    compare: Callable[[], VersionComparisons] = VersionComparisons,
) -> tuple[str, EvidencePack]:
    """
    Return the key of the page for *evaluation* and its content, made now unless it is kept.

    ``evidence.json`` beside the page holds the same for programs.

    :param compare: Compares the version with those before it; called for a new page only.
    :raises ArtifactError: If the kept content contradicts *evaluation* or *identity*.
    """
    against = evaluation.champion_version or "none"
    folder = layout.evidence_folder(spec.model, identity.key, against)
    pack, _ = find_or_make(
        store,
        f"{folder}/{EVIDENCE_DATA}",
        EvidencePack,
        lambda: _collect(store, spec, version, evaluation, identity, comparisons=compare()),
    )
    if pack.gates != evaluation.gates or pack.stages != identity.stages:
        raise ArtifactError(
            f"{folder}/{EVIDENCE_DATA} in {store.uri} shows other gates or stages than "
            f"{evaluation.record_key} and the record of the version: one of them was changed after "
            "it was written. Nothing was decided. Restore the one that was changed from a backup."
        )
    store.put_if_absent(f"{folder}/{EVIDENCE_PAGE}", render_evidence(pack).encode())
    return f"{folder}/{EVIDENCE_PAGE}", pack


def render_evidence(pack: EvidencePack) -> str:
    """Return *pack* as one self-contained page without script."""
    return page_template(f"{EVIDENCE_PAGE}.j2").render(pack=pack)


def _collect(
    store: ObjectStore,
    spec: ModelSpec,
    version: str,
    evaluation: EvaluationReceipt,
    identity: VersionIdentity,
    *,
    comparisons: VersionComparisons,
) -> EvidencePack:
    details = read_document(store, evaluation.details, EvaluationDetails)
    readiness = Readiness(
        store=store,
        spec=spec,
        identity=identity,
        evaluation=evaluation,
        details=details,
        comparisons=comparisons,
    )
    return EvidencePack(
        model=spec.model,
        version=version,
        as_of=evaluation.as_of,
        passed=identity.passed(evaluation),
        missed=identity.missed(evaluation),
        metric=spec.metric,
        champion_version=evaluation.champion_version,
        test_rows=evaluation.test_rows,
        gates=evaluation.gates,
        metrics=evaluation.metrics,
        challenger=evaluation.challenger,
        candidates=evaluation.candidates,
        failed_candidates=evaluation.failed_candidates,
        charts=tuple(charts_of(spec, details)),
        importances=details.importances,
        contract=identity.validation,
        drift=identity.drift,
        stages=identity.stages,
        test_score=score_readiness(readiness),
        comparisons=comparisons,
        identity=_identity(identity),
        card=_card(spec, evaluation, identity, details),
    )


def _identity(identity: VersionIdentity) -> dict[str, JsonValue]:
    libraries = ("python", "scikit-learn", "pandas", "numpy", "mlflow", "apache-airflow")
    return {
        "key": identity.key,
        "MLflow run": identity.challenger.run_id,
        "artifact, sha256": identity.challenger.artifact_sha256,
        "examples, digest": identity.examples.digest,
        "spec, digest": identity.spec_digest,
        "code, digest": identity.code_digest,
        "code, commit": identity.git_sha,
        "uncommitted changes": {True: "yes", False: "no", None: "unknown"}[identity.git_dirty],
        **{name: identity.environment.get(name, "none") for name in libraries},
        **identity.run,
    }


def _card(
    spec: ModelSpec,
    evaluation: EvaluationReceipt,
    identity: VersionIdentity,
    details: EvaluationDetails,
) -> ModelCard:
    examples = identity.examples
    return ModelCard(
        intended_use=spec.description,
        owner=spec.owner,
        tags=spec.tags,
        label=spec.examples.label,
        problem=spec.examples.problem,
        inputs=spec.examples.features,
        days=identity.days,
        labelled=examples.labelled,
        classes=examples.classes,
        limits=(*spec.limits, *_limits(evaluation, identity, details)),
    )


def _limits(
    evaluation: EvaluationReceipt, identity: VersionIdentity, details: EvaluationDetails
) -> Iterable[str]:
    """Say what this very run could not see."""
    rows, days = evaluation.test_rows, identity.days["test"]
    yield f"Evaluated on {rows} rows of {days}; no other season seen."
    unknown = [gate.name for gate in evaluation.gates if gate.status == "unknown"]
    if unknown:
        yield f"Not measured, for lack of rows or of a rule: {', '.join(unknown)}."
    if useless := [one.name for one in details.importances if one.is_useless]:
        yield f"As good without these inputs: {', '.join(useless)}."
