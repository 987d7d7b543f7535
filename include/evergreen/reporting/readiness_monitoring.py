"""The seven tests of the ML Test Score about what is watched in service."""

from __future__ import annotations

from collections.abc import Iterator

from evergreen.receipts.monitoring import SkewReceipt
from evergreen.receipts.release import ScoredTest
from evergreen.reporting.readiness import NOT_RUN, Readiness, monitored, scored
from evergreen.storage import layout
from evergreen.storage.records import load_document

#: Changes that the score names; the page lists them all.
SHOWN_CHANGES = 3


def monitoring_tests(of: Readiness) -> Iterator[ScoredTest]:
    """Yield the tests of the section, in the order of the paper."""
    yield _dependencies(of)
    yield _invariants(of)
    yield _skew(of)
    yield monitored(of, "Models are not too stale", "staleness", what="the champion's age")
    challenger = of.evaluation.metrics.get("challenger", {})
    is_finite = bool(challenger) and all(value is not None for value in challenger.values())
    yield scored(
        "The model is numerically stable",
        1 if is_finite else 0,
        "predictions for the test days are all finite"
        if is_finite
        else "a metric of the test days is no finite number",
    )
    yield _compute(of)
    yield monitored(
        of,
        "Prediction quality has not regressed on served data",
        "quality",
        what="the champion's quality",
    )


def _dependencies(of: Readiness) -> ScoredTest:
    name, found = "Dependency changes result in notification", of.comparisons.dependencies
    if found is None:
        return scored(name, evidence=f"{NOT_RUN}: there is no champion whose libraries are known")
    some = ", ".join(change.text for change in found.changes[:SHOWN_CHANGES])
    return scored(
        name,
        1,
        f"{found.compared} libraries were compared with those of champion version "
        f"{found.champion_version}, {len(found.changes)} changed{': ' if some else ''}{some}",
    )


def _invariants(of: Readiness) -> ScoredTest:
    """Give the point if every table has a contract, and lately scored days held it."""
    name = "Data invariants hold in training and serving inputs"
    if bare := of.undescribed_tables:
        return scored(name, evidence=f"table {bare[0]} promises nothing")
    keys = of.store.list(layout.all_of("predictions", of.spec.model))
    days = [layout.day_of(key) for key in keys if layout.is_manifest(key)]
    recent = sum(of.is_recent(day) for day in days)
    return scored(
        name,
        1 if recent else 0,
        f"the contract held for {of.identity.validation.days} days of training and for {recent} "
        "days of this model that were scored in the week before the version or later",
    )


def _skew(of: Readiness) -> ScoredTest:
    """Give the point if rows served lately were the same as their examples."""
    name = "Training and serving features compute the same values"
    keys = list(of.store.list(layout.all_of("skew", of.spec.model)))
    if not keys or not of.is_recent(layout.day_of(keys[-1])):
        return scored(name)
    newest = load_document(of.store, keys[-1], SkewReceipt)
    return scored(
        name,
        1 if newest.colour == "green" else 0,
        f"{newest.compared} served rows of {newest.day} were compared with their examples: "
        + ("no input differs beyond the limit" if newest.colour == "green" else newest.reasons[0]),
    )


def _compute(of: Readiness) -> ScoredTest:
    """Give the point if every time was compared with earlier versions and none has regressed."""
    name = "Training speed, serving latency and throughput have not regressed"
    measures = of.comparisons.compute
    if not measures:
        return scored(name, evidence=f"{NOT_RUN}: no time was recorded")
    is_compared = all(measure.usual is not None for measure in measures)
    slower = [measure for measure in measures if measure.has_regressed]
    shown = "; ".join(measure.text for measure in slower or measures)
    limit = f"; more than {slower[0].limit:g} times is a regression" if slower else ""
    return scored(name, 1 if is_compared and not slower else 0, f"{shown}{limit}")
