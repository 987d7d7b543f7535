"""The seven tests of the ML Test Score about the infrastructure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from evergreen.receipts.release import ScoredTest, VersionIdentity
from evergreen.reporting.readiness import NOT_RUN, Readiness, counted, scored, tested
from evergreen.storage import layout
from evergreen.storage.records import find_document


def infrastructure_tests(of: Readiness) -> Iterator[ScoredTest]:
    """Yield the tests of the section, in the order of the paper."""
    again = sum(_reproduced_with_this_code(of))
    yield counted(
        "Training is reproducible",
        again,
        f"{again} versions of this model that the same code made were made again, with the same "
        "result",
    )
    tests = of.spec.tests
    yield tested(of, "Model specification code is unit tested", tests.unit, key="tests.unit")
    yield tested(
        of,
        "The full ML pipeline is integration tested",
        tests.integration,
        key="tests.integration",
    )
    yield scored(
        "Model quality is validated before attempting to serve it",
        1 if of.evaluation.gates else 0,
        f"{len(of.evaluation.gates)} gates on {of.evaluation.test_rows} rows",
    )
    yield _single_example(of)
    tried = sum(entry.step == "stage" for entry in of.ledger.entries)
    yield scored(
        "Models are tested via a canary process before production",
        1 if tried and of.spec.deployment.stages else 0,
        f"{tried} stages on live requests in the ledger of this model" if tried else NOT_RUN,
    )
    back = sum(entry.action == "rollback" for entry in of.ledger.outcomes)
    yield counted(
        "Models can be quickly and safely rolled back",
        back,
        f"{back} rollbacks in the ledger of this model",
    )


def _reproduced_with_this_code(of: Readiness) -> Iterator[bool]:
    """Yield for each reproduced version whether its code is that of the scored one."""
    for key in of.store.list(layout.all_of("reproductions", of.spec.model)):
        record = layout.identity_record(of.spec.model, PurePosixPath(key).stem)
        made = find_document(of.store, record, VersionIdentity)
        yield made is not None and made.code_digest == of.identity.code_digest


def _single_example(of: Readiness) -> ScoredTest:
    """Give the point if one row was explained by every input, and predicted alone as in a batch."""
    name, found = "The model allows debugging by observing a single example", of.details.explanation
    if found is None:
        return scored(name)
    inputs = len(of.spec.examples.features)
    alone = "the same prediction" if found.is_same_alone else "another prediction"
    return scored(
        name,
        1 if found.is_same_alone and found.inputs == inputs else 0,
        f"a test row was explained by {found.inputs} of {inputs} inputs, beside "
        f"{found.reference_rows} others; {alone} alone as among them",
    )
