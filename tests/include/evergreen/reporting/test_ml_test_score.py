"""The ML Test Score gives each point for evidence of its own, and takes it back without."""

from __future__ import annotations

import os

import numpy as np
import pytest
from tests.support.night import History
from tests.support.score_cases import CASES, NEVER, nothing
from tests.support.score_world import SHA, TESTS, World

from evergreen.receipts.modeling import EvaluationDetails
from evergreen.receipts.release import ScoredSection, ScoredTest, TestScore
from evergreen.registry.version_record import load_identity
from evergreen.reporting.ml_test_score import score_readiness
from evergreen.reporting.readiness import Readiness
from evergreen.reporting.readiness_model import correlation_bound
from evergreen.spec.inputs import CiTests
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import read_document


@pytest.fixture(scope="module")
def made(trained):
    """One version that was really trained, and what was measured of it."""
    history = History(trained, f"scored_{os.getpid()}")
    registration = history.version(1)
    version = history.client.get_model_version(history.spec.model, registration.version)
    details = read_document(history.store, history.judged.details, EvaluationDetails)
    return history, load_identity(history.store, version), details


@pytest.fixture
def world(made, tmp_path) -> World:
    """The version in a store without any history, made from a clean commit."""
    history, identity, details = made
    tests = CiTests(**{kind: (name,) for kind, name in TESTS.items()})
    return World(
        store=FolderStore(tmp_path / "empty"),
        spec=history.spec.model_copy(update={"tests": tests}),
        identity=identity.model_copy(update={"git_sha": SHA, "git_dirty": False}),
        evaluation=history.judged,
        details=details,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_point_is_granted_for_its_evidence(world, name):
    grant, _ = CASES[name]

    grant(world)

    assert world.score(name).points == 1, world.score(name).evidence


@pytest.mark.parametrize(
    ("name", "withhold"),
    [(name, way) for name, (_, ways) in CASES.items() for way in ways],
    ids=[f"{name} {n}" for name, (_, ways) in CASES.items() for n in range(len(ways))],
)
def test_a_point_is_withheld_without_its_evidence(world, name, withhold):
    withhold(world)

    assert world.score(name).points == 0, world.score(name).evidence


def test_the_table_has_all_28_tests(world):
    found = score_readiness(Readiness(**vars(world)))

    assert [len(section.tests) for section in found.sections] == [7, 7, 7, 7]
    names = [test.name for section in found.sections for test in section.tests]
    assert sorted(names) == sorted([*CASES, NEVER])


def test_what_no_program_can_check_says_so(world):
    for grant, _ in CASES.values():
        grant(world)

    assert world.score(NEVER).points == 0
    assert world.score(NEVER).evidence.startswith("cannot be scored: ")


def test_a_clean_commit_without_a_reviewer_is_half_a_point(world):
    name = "Every model specification is reviewed and checked in"
    nothing(world)
    assert world.score(name).points == 0.5

    world.ci(reviewers=())

    assert world.score(name).points == 0.5


@pytest.mark.parametrize("name", CASES)
def test_history_of_the_model_is_called_so(world, name):
    """What a version has not done itself is not passed off as its own."""
    of_the_model = ("backtest", "ledger", "scored", "again", "champions")
    grant, _ = CASES[name]

    grant(world)

    evidence = world.score(name).evidence
    if any(word in evidence for word in of_the_model):
        assert "of this model" in evidence


def test_no_test_gives_a_point_in_a_world_without_evidence(world):
    """A version alone has what its own training and evaluation say, and nothing else."""
    world.change("spec", tests=CiTests(), inputs={}, contract={})
    world.change("identity", git_dirty=True)
    world.change("details", importances=(), groups=(), explanation=None)
    world.change("evaluation", gates=(), metrics={})

    found = score_readiness(Readiness(**vars(world)))

    assert {test.name for part in found.sections for test in part.tests if test.points} == set()
    assert found.total == 0
    assert found.meaning.startswith("more of a research project")


@pytest.mark.parametrize(
    ("total", "meaning"),
    [
        (0, "more of a research"),
        (0.5, "not totally"),
        (1, "not totally"),
        (1.5, "a first pass"),
        (2.5, "reasonably"),
        (3, "reasonably"),
        (3.5, "strong"),
        (5, "strong"),
        (5.5, "exceptional"),
        (7, "exceptional"),
    ],
)
def test_the_scale_is_that_of_the_paper(total, meaning):
    assert TestScore(sections=(), total=total).meaning.startswith(meaning)


def test_a_section_adds_up():
    tests = [ScoredTest(name="a", points=p, evidence="e") for p in (0, 0.5, 1)]

    assert ScoredSection(name="s", tests=tuple(tests)).total == 1.5


def test_the_bound_of_a_correlation_is_below_it_in_95_of_100_samples():
    rng, true = np.random.default_rng(0), 0.6
    below = []
    for _ in range(4000):
        x = rng.normal(size=12)
        y = true * x + np.sqrt(1 - true**2) * rng.normal(size=12)
        below.append(correlation_bound(float(np.corrcoef(x, y)[0, 1]), 12) <= true)

    assert 0.935 < np.mean(below) < 0.965  # 0.95; three standard errors are 0.010
