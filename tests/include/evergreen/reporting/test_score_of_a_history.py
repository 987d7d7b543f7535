"""What a model that is really trained, tested, monitored and rolled back can score."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.conftest import AS_OF
from tests.support.ci_runs import PASSES, Checkout, junit_of, use
from tests.support.monitored import score_day
from tests.support.night import NOW, Night

from evergreen.monitoring.health import Report, assess_health
from evergreen.monitoring.monitors import MONITORS
from evergreen.operations.backtest import backtest
from evergreen.operations.reproduction import reproduce_version
from evergreen.receipts.release import TestScore
from evergreen.registry.ci_receipts import record_ci_run
from evergreen.reporting.evidence import EvidencePack
from evergreen.spec.modeling import CandidateSpec, SanityGate, Search
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import load_document
from evergreen.workspace import Workspace

FIRST = AS_OF - timedelta(days=3)


def monitor_champion(workspace: Workspace, as_of: datetime) -> None:
    """Keep what two of the monitors find; drift has tests of its own, and takes seconds."""
    names = ("quality", "staleness")
    results = {name: MONITORS[name].measure(workspace, as_of) for name in names}
    report = Report(results=results)
    assess_health(workspace, as_of=as_of, report=report, is_replay=False, now=NOW)


def score_of(night: Night) -> TestScore:
    receipt = night.registration()
    folder = receipt.evidence.removesuffix(EVIDENCE_PAGE)
    return load_document(night.store, folder + EVIDENCE_DATA, EvidencePack).test_score


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Checkout:
    return use(Checkout(tmp_path / "checkout"), monkeypatch)


@pytest.fixture
def tuned(night) -> Night:
    """The nights of a model whose one candidate is tuned, with few shuffles for their time."""
    space = {"model__boosting__model__min_samples_leaf": [150, 200]}
    search = Search(space=space, trials=2, folds=2)
    sanity = SanityGate(shuffles=5, max_rows=1000)
    return night.at(
        AS_OF,
        candidates={"blend": CandidateSpec(search=search)},
        gates=night.spec.gates.model_copy(update={"sanity": sanity}),
    )


@pytest.mark.slow
def test_real_evidence_reaches_five_points_in_each_section(tuned, checkout, tmp_path):
    assert tuned.at(FIRST).deployment().moved
    second = tuned.at(AS_OF - timedelta(days=1))
    examples = second.examples()
    # It is no better than the first. Here it shall serve, so that there is a way back.
    promoted = second.evaluation(examples).model_copy(update={"gates": (), "passed": True})
    assert second.deploy(second.register(promoted, examples)).moved
    assert second.roll_back().moved
    for back in (1, 0):
        score_day(tuned.workspace, AS_OF - timedelta(days=back))
    monitor_champion(tuned.workspace, AS_OF)
    assert reproduce_version(tuned.workspace, version="1").is_identical
    backtest(tuned.workspace, first=FIRST, last=second.as_of)
    tests = tuned.spec.tests
    names = [name for kind in tests.model_dump().values() for name in kind]
    junit = junit_of(tmp_path / "ci", {f"{n.replace('.', '/')}.py": PASSES for n in names})
    record_ci_run(tuned.store, junit, now=NOW)

    found = score_of(tuned)

    lines = [
        f"{section.name} {test.points:g} {test.name}: {test.evidence}"
        for section in found.sections
        for test in section.tests
    ]
    assert found.total >= 5.0, "\n".join(lines)
