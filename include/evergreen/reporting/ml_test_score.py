"""
How ready a model is for production, by the checks that really ran for it.

Breck et al., "The ML Test Score: A Rubric for ML Production Readiness and Technical Debt
Reduction", IEEE Big Data 2017: 28 tests in four sections, half a point for what is done by hand and
written down, a whole one for what repeats by itself; the score is the least of the four sums. What
did not run for this very version scores 0, however good the code that would run it.
"""

from __future__ import annotations

from collections.abc import Iterator

from evergreen.digests import is_commit_known
from evergreen.receipts.common import Check
from evergreen.receipts.modeling import EvaluationDetails, EvaluationReceipt
from evergreen.receipts.release import ScoredSection, ScoredTest, TestScore, VersionIdentity
from evergreen.registry import ledger as ledger_store
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore

NOT_RUN = "did not run"


def score_readiness(
    store: ObjectStore,
    spec: ModelSpec,
    *,
    identity: VersionIdentity,
    evaluation: EvaluationReceipt,
    details: EvaluationDetails,
) -> TestScore:
    """Return the four sections for one version, with what each point was given for."""
    gates = {gate.name: gate for gate in evaluation.gates}
    sections = (
        ScoredSection(name="Data", tests=tuple(_data(spec, identity, details))),
        ScoredSection(name="Model", tests=tuple(_model(store, spec, identity, gates))),
        ScoredSection(name="Infrastructure", tests=tuple(_infrastructure(store, spec, evaluation))),
        ScoredSection(name="Monitoring", tests=tuple(_monitoring(store, spec, identity, gates))),
    )
    return TestScore(sections=sections, total=min(section.total for section in sections))


def _data(
    spec: ModelSpec, identity: VersionIdentity, details: EvaluationDetails
) -> Iterator[ScoredTest]:
    described = all(spec.contract_of(table).columns for table in spec.tables)
    checks = len(identity.validation.checks)
    yield _test(
        "Feature expectations are captured in a schema",
        1 if described else 0.5,
        f"{checks} contract checks on {identity.validation.days} days"
        + ("" if described else "; not every table describes its columns"),
    )
    useless = sum(one.is_useless for one in details.importances)
    yield _test(
        "All features are beneficial",
        1 if details.importances else 0,
        f"{len(details.importances)} inputs shuffled, {useless} add nothing",
    )
    yield _test("No feature's cost is too much")
    yield _test("Features adhere to meta-level requirements")
    yield _test("The data pipeline has appropriate privacy controls")
    yield _test("New features can be added quickly")
    yield _test("All input feature code is tested")


def _model(
    store: ObjectStore, spec: ModelSpec, identity: VersionIdentity, gates: dict[str, Check]
) -> Iterator[ScoredTest]:
    is_known = is_commit_known(identity)
    is_clean = is_known and identity.git_dirty is False
    commit = f"commit {identity.git_sha[:12] if is_known else identity.git_sha}"
    yield _test(
        "Every model specification is reviewed and checked in",
        0.5 if is_clean else 0,
        f"made from {commit}, nothing changed; who reviewed it is not known"
        if is_clean
        else f"{commit}, with changes or none known"
        if is_known
        else commit,
    )
    yield _test("Offline proxy metrics correlate with online impact")
    trials = max((c.trials for c in identity.candidates), default=0)
    yield _test(
        "All hyperparameters have been tuned",
        1 if trials > 1 else 0,
        f"{trials} trials by time-ordered cross-validation" if trials > 1 else NOT_RUN,
    )
    backtests = sum(
        key.endswith(".csv") for key in store.list(layout.all_of("backtests", spec.model))
    )
    yield _counted(
        "The impact of model staleness is known",
        backtests,
        f"{backtests} backtests compare a frozen model with a fresh one",
    )
    yield _of_gate(
        "A simpler model is not better", gates, f"{spec.metric} over the linear baseline"
    )
    slices = [gate for name, gate in gates.items() if name.startswith("slice ")]
    measured = sum(gate.status != "unknown" for gate in slices)
    yield _test(
        "Model quality is sufficient on all important data slices",
        1 if measured else 0,
        f"{measured} of {len(slices)} slices could be measured" if slices else NOT_RUN,
    )
    yield _test("The model has been tested for considerations of inclusion")


def _infrastructure(
    store: ObjectStore, spec: ModelSpec, evaluation: EvaluationReceipt
) -> Iterator[ScoredTest]:
    again = sum(1 for _ in store.list(layout.all_of("reproductions", spec.model)))
    yield _counted(
        "Training is reproducible",
        again,
        f"{again} versions were reproduced with the same result",
    )
    yield _test("Model specification code is unit tested")
    yield _test("The full ML pipeline is integration tested")
    yield _test(
        "Model quality is validated before attempting to serve it",
        1,
        f"{len(evaluation.gates)} gates on {evaluation.test_rows} rows",
    )
    yield _test("The model allows debugging by observing a single example")
    ledger = ledger_store.read_ledger(store, spec.model)
    tried = sum(entry.step == "stage" for entry in ledger.entries)
    yield _test(
        "Models are tested via a canary process before production",
        1 if tried and spec.deployment.stages else 0,
        f"{tried} stages on live requests in the ledger" if tried else NOT_RUN,
    )
    back = sum(entry.action == "rollback" for entry in ledger.outcomes)
    yield _counted(
        "Models can be quickly and safely rolled back", back, f"{back} rollbacks in the ledger"
    )


def _monitoring(
    store: ObjectStore, spec: ModelSpec, identity: VersionIdentity, gates: dict[str, Check]
) -> Iterator[ScoredTest]:
    yield _test("Dependency changes result in notification")
    scored = sum(map(layout.is_manifest, store.list(layout.all_of("predictions", spec.model))))
    yield _test(
        "Data invariants hold in training and serving inputs",
        1 if scored else 0.5,
        f"the contract held for the training days and {scored} scored days",
    )
    drift = identity.drift
    columns = f"{len(drift.columns)} columns of {drift.current_rows} new rows"
    skewed = sum(1 for _ in store.list(layout.all_of("skew", spec.model)))
    yield _test(
        "Training and serving features compute the same values",
        1 if skewed else 0.5,
        f"served rows were compared with their examples on {skewed} days"
        if skewed
        else f"{columns} are compared with training",
    )
    days = sum(map(layout.is_health_record, store.list(layout.all_of("monitoring", spec.model))))
    yield _counted(
        "Models are not too stale",
        days,
        f"the champion's age was compared with its limit on {days} days",
    )
    yield _test(
        "The model is numerically stable",
        1,
        "predictions for validation and test days are all finite",
    )
    yield _of_gate(
        "Training speed, serving latency and throughput have not regressed",
        gates,
        "prediction time, ms a row",
        most=0.5,
    )
    windows = sum(map(layout.is_quality_window, store.list(layout.all_of("quality", spec.model))))
    yield _counted(
        "Prediction quality has not regressed on served data",
        windows,
        f"{windows} windows were measured on labels as they arrived",
    )


def _of_gate(name: str, gates: dict[str, Check], gate: str, *, most: float = 1) -> ScoredTest:
    found = gates.get(gate)
    if found is None or found.status == "unknown":
        return _test(name)
    points = most if found.status == "passed" else 0
    return _test(name, points, f"{found.measured}, required {found.required}")


def _counted(name: str, number: int, evidence: str) -> ScoredTest:
    """Give the point for a check that ran at least once."""
    return _test(name, 1, evidence) if number else _test(name)


def _test(name: str, points: float = 0, evidence: str = NOT_RUN) -> ScoredTest:
    return ScoredTest(name=name, points=points, evidence=evidence)
