"""The seven tests of the ML Test Score about features and data."""

from __future__ import annotations

from collections.abc import Iterator

from evergreen.receipts.release import ScoredTest
from evergreen.reporting.readiness import Readiness, run_of, scored, tested

#: An input that takes longer to add and to train with is not added quickly.
MAX_NEW_INPUT_SECONDS = 3600.0


def data_tests(of: Readiness) -> Iterator[ScoredTest]:
    """Yield the tests of the section, in the order of the paper."""
    described = len(of.spec.tables) - len(of.undescribed_tables)
    validation = of.identity.validation
    yield scored(
        "Feature expectations are captured in a schema",
        1 if described == len(of.spec.tables) and validation.checks else 0,
        f"{len(validation.checks)} contract checks on {validation.days} days; {described} of "
        f"{len(of.spec.tables)} tables describe their columns",
    )
    useless = sum(one.is_useless for one in of.details.importances)
    yield scored(
        "All features are beneficial",
        1 if of.details.importances and not useless else 0,
        f"{len(of.details.importances)} inputs shuffled, {useless} add nothing",
    )
    yield _cost(of)
    yield _meta_requirements(of)
    yield _privacy(of)
    yield _new_input(of)
    yield tested(of, "All input feature code is tested", of.spec.tests.inputs, key="tests.inputs")


def _cost(of: Readiness) -> ScoredTest:
    """Give the point if each input is in a group that is shown to bring what it must."""
    name, groups = "No feature's cost is too much", of.details.groups
    if not groups:
        return scored(name, evidence="no group of inputs was measured; the spec names none")
    covered = {column for one in groups if one.min_gain is not None for column in one.columns}
    missing = [one for one in of.spec.examples.features if one not in covered]
    if missing:
        return scored(
            name, evidence=f"{len(missing)} inputs have no min_gain, such as {missing[0]}"
        )
    poor = [one for one in groups if not one.is_worth_its_cost]
    shown = "; ".join(
        f"{one.name} brings "
        + ("nothing measurable" if one.lower is None else f"{one.lower:+.4f} or more")
        + f", must bring {one.min_gain:g}"
        for one in poor or groups
    )
    return scored(name, 0 if poor else 1, f"{len(groups)} groups shuffled: {shown}")


def _meta_requirements(of: Readiness) -> ScoredTest:
    """Give the point if it is known of each input who owns it and whether it is personal data."""
    groups = [group for group in of.spec.inputs.values() if group.personal is not None]
    declared = {column for group in groups for column in group.columns}
    inputs = of.spec.examples.features
    missing = [one for one in inputs if one not in declared]
    owners = {group.owner or of.spec.owner for group in of.spec.inputs.values()} | {of.spec.owner}
    lacking = f", not {missing[0]}" if missing else ""
    return scored(
        "Features adhere to meta-level requirements",
        0 if missing else 1,
        f"{len(inputs) - len(missing)} of {len(inputs)} inputs say whether they are personal data"
        f"{lacking}; owners: {', '.join(sorted(owners))}",
    )


def _privacy(of: Readiness) -> ScoredTest:
    """
    Give the point if every input is declared and every table says which columns are personal.

    The controls apply by themselves then: the spec is refused if a personal input has no purpose,
    and values of personal columns stay out of rejected rows, stored examples and pages.
    """
    name = "The data pipeline has appropriate privacy controls"
    declared = _meta_requirements(of)
    bare = of.undescribed_tables
    if not declared.points or bare:
        why = f"table {bare[0]} describes no columns" if bare else declared.evidence
        return scored(name, evidence=why)
    personal = of.spec.personal_inputs
    columns = sum(len(of.spec.contract_of(table).personal_columns) for table in of.spec.tables)
    return scored(
        name,
        1,
        f"{len(personal)} inputs and {columns} raw columns are personal; each such input has a "
        "purpose, and values are removed from rejected rows, examples and pages",
    )


def _new_input(of: Readiness) -> ScoredTest:
    """Give the point if a test in CI adds an input and trains with it, in less than an hour."""
    found = tested(
        of, "New features can be added quickly", of.spec.tests.new_input, key="tests.new_input"
    )
    if not found.points:
        return found
    _, modules = run_of(of, of.spec.tests.new_input)
    seconds = sum(module.seconds for module in modules)
    return scored(
        found.name,
        1 if 0 < seconds <= MAX_NEW_INPUT_SECONDS else 0,
        f"{found.evidence}; an input was added and trained with in {seconds:.0f} s",
    )
