"""
How ready a model is for production, by the checks that really ran for it.

Breck et al., "The ML Test Score: A Rubric for ML Production Readiness and Technical Debt
Reduction", IEEE Big Data 2017: 28 tests in four sections, half a point for what is done by hand and
written down, a whole one for what repeats by itself; the score is the least of the four sums. What
did not run scores 0, however good the code that would run it, and so does what its own evidence
speaks against.

What a version has no history of, because it did not serve yet, is taken from the model's history,
and the evidence says so: backtests, rollouts, rollbacks, scored and monitored days. Tests in CI
count only if they ran on the commit that made the version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from evergreen.receipts.release import ScoredSection, ScoredTest, TestScore
from evergreen.reporting.readiness import Readiness
from evergreen.reporting.readiness_data import data_tests
from evergreen.reporting.readiness_infrastructure import infrastructure_tests
from evergreen.reporting.readiness_model import model_tests
from evergreen.reporting.readiness_monitoring import monitoring_tests

SECTIONS: dict[str, Callable[[Readiness], Iterator[ScoredTest]]] = {
    "Data": data_tests,
    "Model": model_tests,
    "Infrastructure": infrastructure_tests,
    "Monitoring": monitoring_tests,
}


def score_readiness(of: Readiness) -> TestScore:
    """Return the four sections for one version, with what each point was given for."""
    sections = tuple(
        ScoredSection(name=name, tests=tuple(tests(of))) for name, tests in SECTIONS.items()
    )
    return TestScore(sections=sections, total=min(section.total for section in sections))
