"""What the tests of the ML Test Score look at, and how a point is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from evergreen.receipts.ci import CiModule, CiReceipt
from evergreen.receipts.comparisons import VersionComparisons
from evergreen.receipts.modeling import EvaluationDetails, EvaluationReceipt
from evergreen.receipts.release import ScoredTest, VersionIdentity
from evergreen.registry import ledger as ledger_store
from evergreen.registry.ci_receipts import ci_receipts_of
from evergreen.registry.health_record import MonitorResults, monitor_results, monitored_keys
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore

NOT_RUN = "did not run"
#: What was scored or monitored longer before the version says nothing of today.
MAX_AGE = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """One version, and everything that its score may rest on."""

    store: ObjectStore
    spec: ModelSpec
    identity: VersionIdentity
    evaluation: EvaluationReceipt
    details: EvaluationDetails
    comparisons: VersionComparisons

    @cached_property
    def ci_receipts(self) -> tuple[CiReceipt, ...]:
        """Receipts of the commit that made the version, newest first."""
        return ci_receipts_of(self.store, self.identity)

    @cached_property
    def ledger(self) -> ledger_store.Ledger:
        """The ledger of the model."""
        return ledger_store.read_ledger(self.store, self.spec.model)

    @property
    def undescribed_tables(self) -> tuple[str, ...]:
        """Tables whose contract describes no column."""
        return tuple(t for t in self.spec.tables if not self.spec.contract_of(t).columns)

    @cached_property
    def newest_results(self) -> MonitorResults | None:
        """What the monitors found last; None if that was long before the version."""
        keys = monitored_keys(self.store, self.spec.model)
        if not keys or not self.is_recent(layout.day_of(keys[-1])):
            return None
        return monitor_results(self.store, keys[-1])

    def is_recent(self, day: date) -> bool:
        """Return whether *day* is at most a week before the version."""
        return self.identity.as_of.date() - day <= MAX_AGE


def scored(name: str, points: float = 0, evidence: str = NOT_RUN) -> ScoredTest:
    """Return the result of the test *name*."""
    return ScoredTest(name=name, points=points, evidence=evidence)


def counted(name: str, number: int, evidence: str) -> ScoredTest:
    """Give the point for what happened at least once."""
    return scored(name, 1, evidence) if number else scored(name)


def monitored(of: Readiness, name: str, monitor: str, *, what: str) -> ScoredTest:
    """Give the point if *monitor* found nothing wrong on the newest day."""
    found = of.newest_results
    if found is None or monitor not in found.colours:
        return scored(name, evidence=f"{NOT_RUN} for this model in the week before the version")
    colour, reasons = found.colours[monitor], found.reasons[monitor]
    why = f": {reasons[0]}" if reasons else ""
    return scored(name, 1 if colour == "green" else 0, f"{what} of {found.day} is {colour}{why}")


def tested(of: Readiness, name: str, prefixes: tuple[str, ...], *, key: str) -> ScoredTest:
    """
    Give the point if the newest CI run of the version's commit that holds such tests is green.

    :param prefixes: Class names of the tests, from *key* in the spec.
    """
    if not prefixes:
        return scored(name, evidence=f"the spec names no such tests under {key}")
    receipt, modules = run_of(of, prefixes)
    if receipt is None:
        commit = of.identity.git_sha[:12]
        return scored(name, evidence=f"no CI receipt of commit {commit} holds tests of {key}")
    passed, failed = sum(m.passed for m in modules), sum(m.failed for m in receipt.modules)
    is_granted = receipt.is_green and passed > 0
    return scored(
        name,
        1 if is_granted else 0,
        f"CI of commit {receipt.commit[:12]}: {passed} such tests passed, {failed} of all failed",
    )


def run_of(
    of: Readiness, prefixes: tuple[str, ...]
) -> tuple[CiReceipt | None, tuple[CiModule, ...]]:
    """Return the newest receipt that holds tests of *prefixes*, and these; None without one."""
    for receipt in of.ci_receipts:
        if modules := receipt.of(prefixes):
            return receipt, modules
    return None, ()
